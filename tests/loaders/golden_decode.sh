#!/bin/sh
# golden_decode.sh DECODE_TOOL DEFAULT_SHARED: runs the oracle where there is a Python for it; 77 where there is none.
shared=${RSTREAM_SHARED:-$2}
if [ ! -x /usr/bin/python3 ]; then
    echo "skipped: no /usr/bin/python3; install python3-pil and python3-numpy"
    [ -z "$RS_REQUIRE_ORACLES" ] && exit 77
    exit 1
fi
exec /usr/bin/python3 -W ignore "$(dirname "$0")/golden_decode.py" "$1" "$shared"
