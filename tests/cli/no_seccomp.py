#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""no_seccomp.py COMMAND...: run COMMAND where the kernel refuses seccomp filters, as some containers and old kernels do.

The refusal is a seccomp filter itself: seccomp(2) and prctl(PR_SET_SECCOMP) fail with EPERM. Exit code 77: it cannot be set here.
"""
import ctypes
import errno
import os
import platform
import struct
import sys

CALLS = {"x86_64": (317, 157), "aarch64": (277, 167)}     # seccomp, prctl
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06                    # classic BPF: absolute word, jump if equal, return
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
NUMBER, FIRST_ARGUMENT = 0, 16                            # offsets in struct seccomp_data


def main():
    if platform.machine() not in CALLS:
        return 77
    seccomp, prctl = CALLS[platform.machine()]
    steps = [(LOAD, 0, 0, NUMBER), (EQUAL, 3, 0, seccomp), (EQUAL, 0, 3, prctl),
             (LOAD, 0, 0, FIRST_ARGUMENT), (EQUAL, 0, 1, PR_SET_SECCOMP),
             (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *s) for s in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, program, 0, 0) != 0:
        return 77
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
