# SPDX-License-Identifier: Apache-2.0
# plait for Spack, from the tarball that `make dist` writes: in the directory with plait-VERSION.tar.gz
#   spack repo create ./plait-repo; mkdir -p plait-repo/packages/plait; cp .../scripts/spack/package.py plait-repo/packages/plait
#   spack repo add ./plait-repo; spack install --no-checksum plait
# Inside a clone: spack dev-build plait@0.1.0
import os

try:
    from spack_repo.builtin.build_systems.makefile import MakefilePackage
except ImportError:  # Spack before 1.0
    pass
from spack.package import *


class Plait(MakefilePackage):
    """Weaves image and text corpora into training shards: C tools under MPI that read, filter, deduplicate, balance and
    pack web-scale tar shards of images and texts."""

    manual_download = True  # there is no server to ask
    url = "file://{0}/plait-0.1.0.tar.gz".format(os.getcwd())

    license("Apache-2.0", checked_by="plait")

    version("0.1.0")

    variant("icc", default=True, description="Convert colour profiles (lcms2)")
    variant("avif", default=False, description="Read AVIF pictures (libavif)")
    variant("unistring", default=True, description="Tell the scripts of texts (libunistring)")
    variant("sentencepiece", default=False, description="Count tokens as a SentencePiece model does")

    depends_on("c", type="build")
    depends_on("cxx", type="build", when="+sentencepiece")
    depends_on("gmake", type="build")
    depends_on("pkgconfig", type="build")

    depends_on("mpi")
    depends_on("libarchive")
    depends_on("zstd")
    depends_on("xxhash")
    depends_on("libwebp+libwebpdemux")
    depends_on("libjpeg-turbo")
    depends_on("libspng")
    depends_on("giflib")
    depends_on("jansson")
    depends_on("libyaml")
    depends_on("sqlite@3.38:")
    depends_on("libseccomp")
    depends_on("utf8proc")
    depends_on("lcms", when="+icc")
    depends_on("libavif", when="+avif")
    depends_on("libunistring", when="+unistring")
    depends_on("sentencepiece", when="+sentencepiece")

    @property
    def build_targets(self):
        return self._settings() + ["all"]

    @property
    def install_targets(self):
        return self._settings() + ["PREFIX={0}".format(self.prefix), "install"]

    def _settings(self):
        """What is not asked for is left out even where the machine has it."""
        off = {"icc": "HAVE_LCMS2", "avif": "HAVE_AVIF", "unistring": "HAVE_UNISTRING", "sentencepiece": "HAVE_SPM"}
        made = ["CC={0}".format(self.compiler.cc), "MPICC={0}".format(self.spec["mpi"].mpicc)]
        made += ["{0}=".format(name) for variant, name in off.items() if not self.spec.satisfies("+" + variant)]
        return made + ["HAVE_TEXTCAT="]  # libexttextcat is not in Spack

    @run_after("install")
    def sanity(self):
        Executable(join_path(self.prefix.bin, "plait"))("--version")
        Executable(join_path(self.prefix.bin, "plait-run"))("--help", output=os.devnull)
