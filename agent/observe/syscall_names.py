# agent/observe/syscall_names.py: the numbers of system calls in the kernel's headers -> a C++ table. Runs at build.
#
#   syscall_names.py COMPILER OUTPUT
#
# One line for each call: NAME(convention, number, "name"), where convention is native, compat or x32.
import re
import subprocess
import sys

# Header -> convention. A header that this architecture does not have is left out.
HEADERS = {"x86_64": (("asm/unistd_64.h", "NATIVE"), ("asm/unistd_32.h", "COMPAT"),
                      ("asm/unistd_x32.h", "X32")),
           "other": (("asm/unistd.h", "NATIVE"),)}
X32_BIT = 0x40000000


def numbers(compiler, header):
    """name -> number, of the macros __NR_name that the header defines."""
    source = f"#define __X32_SYSCALL_BIT {X32_BIT}\n#include <{header}>\n"
    macros = subprocess.run([compiler, "-E", "-dM", "-x", "c", "-"], input=source, text=True,
                            capture_output=True, check=True).stdout
    names = sorted(set(re.findall(r"#define __NR_(\w+) ", macros)))
    # The compiler knows what each stands for, whatever expression it is.
    source += "".join(f"\nVALUE {name} = __NR_{name}" for name in names)
    text = subprocess.run([compiler, "-E", "-P", "-x", "c", "-"], input=source, text=True,
                          capture_output=True, check=True).stdout
    found = {}
    for name, value in re.findall(r"^VALUE (\w+) = (.*)$", text, re.MULTILINE):
        if re.fullmatch(r"[\d()+ xX0-9a-fA-F]+", value):
            found[name] = eval(value) & ~X32_BIT  # nothing but digits, + and brackets
    return found


def main():
    compiler, output = sys.argv[1:]
    machine = subprocess.run([compiler, "-dumpmachine"], text=True, capture_output=True,
                             check=True).stdout
    lines = []
    for header, convention in HEADERS["x86_64" if machine.startswith("x86_64") else "other"]:
        found = numbers(compiler, header)
        if len(found) < 200:
            sys.exit(f"{header} names only {len(found)} system calls")
        taken = set()
        for name, number in sorted(found.items()):
            if name in ("syscalls", "arch_specific_syscall") or number in taken:
                continue  # a count, or a second name
            taken.add(number)
            lines.append(f'NAME({convention}, {number}, "{name}")\n')
    with open(output, "w", encoding="utf-8") as file:
        file.writelines(lines)


main()
