/* guarded.c: see guarded.h. */
#include "guarded.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct guarded guarded_alloc(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (size + page - 1) / page * page;
    struct guarded block = {.mapped = body + page};
    block.map = mmap(NULL, block.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(block.map != MAP_FAILED);
    assert_int_equal(mprotect((uint8_t *)block.map + body, page, PROT_NONE), 0);
    block.data = (uint8_t *)block.map + body - size;
    return block;
}

void guarded_free(struct guarded *block)
{
    munmap(block->map, block->mapped);
    block->map = NULL;
    block->data = NULL;
}
