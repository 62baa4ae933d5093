// tests/system/attackers/system_calls.c: makes a known number of system calls, natively and through
// the 32-bit entry, and nothing else between them. Built by accounting_test.py.
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GETPPID_32 = 64 };

int main(int argc, char** argv) {
  long native = argc > 1 ? atol(argv[1]) : 0;
  long compat = argc > 2 ? atol(argv[2]) : 0;

  while (native--) syscall(SYS_getppid);
#ifdef __x86_64__
  while (compat--) {
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(GETPPID_32) : "memory");
  }
#endif
  return 0;
}
