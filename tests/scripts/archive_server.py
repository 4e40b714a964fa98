"""archive_server.py: a web server on a loopback port that sends one file, well or badly, and keeps a list of what it was asked for."""
import http.server
import socket
import threading


class ArchiveServer:
    """Serves content at every path. How it misbehaves is set before a request:

    status     the answer's status; anything but 200 sends the words of an error page
    cut        close the connection after so many bytes of the body; None: send all of it
    moved      True: every path but /moved is redirected there
    ranges     False: a request for a range gets the whole content, as from a server that knows no ranges
    """

    def __init__(self, content):
        self.content, self.status, self.cut, self.ranges = content, 200, None, True
        self.moved = False
        self.requests = []  # each: (path, the Range header or None)
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.requests.append((self.path, self.headers.get("Range")))
                owner.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/cifar-10-binary.tar.gz"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def answer(self, handler):
        if self.moved and handler.path != "/moved":
            handler.send_response(302)
            handler.send_header("Location", "/moved")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        status, body, begin = self.status, self.content, 0
        asked = handler.headers.get("Range")
        if status != 200:
            body = b"<html><body>no such archive</body></html>"
        elif asked and self.ranges:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206 if begin < len(body) else 416
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        if status == 416:
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            begin = len(body)
        handler.send_header("Content-Length", str(len(body) - begin))
        handler.end_headers()
        end = len(body) if self.cut is None else min(len(body), begin + self.cut)
        handler.wfile.write(body[begin:end])

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def refused_url():
    """(socket, URL): nothing listens on the URL's port while the socket is open, and no other process gets it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
    return holder, f"http://127.0.0.1:{holder.getsockname()[1]}/cifar-10-binary.tar.gz"
