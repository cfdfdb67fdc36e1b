# SPDX-License-Identifier: Apache-2.0
"""Builds plait._plait on the stable ABI of Python 3.9.

In plait's repository make builds the reader library and it is linked in, so that the module needs nothing of plait at run time.
Elsewhere an installed libplaitshards is found by pkg-config.
"""
import os
import shlex
import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VARIANT = os.environ.get("PLAIT_VARIANT", "release")
ARCHIVE = os.path.join("build", VARIANT, "lib", "libplaitshards.a")


def in_repository():
    return all(os.path.exists(os.path.join(ROOT, *p)) for p in (("Makefile",), ("shards", "plaitshards.pc.in")))


def pkg_config(*args):
    return shlex.split(subprocess.run([os.environ.get("PKG_CONFIG", "pkg-config"), *args], check=True, stdout=subprocess.PIPE,
                                      universal_newlines=True).stdout)


class Build(build_ext):
    def build_extension(self, ext):
        if in_repository():
            # MAKEFLAGS of a make that called pip would point to a job server that is not handed on.
            env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
            subprocess.run(["make", "-s", "-j2", "-C", ROOT, "VARIANT=" + VARIANT, ARCHIVE], check=True, env=env)
            libs = subprocess.run(["make", "-s", "-C", ROOT, "VARIANT=" + VARIANT, "print-SHARD_LIBS"], check=True, env=env,
                                  stdout=subprocess.PIPE, universal_newlines=True).stdout
            ext.include_dirs.append(ROOT)
            ext.extra_objects.append(os.path.join(ROOT, ARCHIVE))
            ext.depends.append(os.path.join(ROOT, ARCHIVE))
            ext.extra_link_args += shlex.split(libs)
        else:
            ext.extra_compile_args += pkg_config("--cflags", "plaitshards")
            ext.extra_link_args += pkg_config("--libs", "plaitshards")
        super().build_extension(ext)


def wheel_tag():
    """One wheel for every Python from 3.9 on."""
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:
        try:
            from wheel.bdist_wheel import bdist_wheel
        except ImportError:
            return {}

    class Wheel(bdist_wheel):
        def finalize_options(self):
            self.py_limited_api = "cp39"
            super().finalize_options()

    return {"bdist_wheel": Wheel}


setup(
    ext_modules=[Extension(
        "plait._plait", ["ext/%s.c" % name for name in ("module", "sample", "dataset", "loader", "image")], py_limited_api=True,
        depends=["ext/ext.h"], define_macros=[("_GNU_SOURCE", "1")],
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes"])],
    cmdclass=dict(wheel_tag(), build_ext=Build),
)
