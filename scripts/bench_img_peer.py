# SPDX-License-Identifier: Apache-2.0
"""The peers of scripts/bench-img: the same job in the usual Python, tar to tar in one process, and the quality of results.

usage: bench_img_peer.py WAY OUT.tar TAR...        WAY: img2dataset, img2dataset-webp, pillow, pillow-full, pillow-simd, vips;
                                                   prints its CPU seconds
       bench_img_peer.py quality REF.tar OUT.tar   mean SSIM, mean and least PSNR, bytes an image, how many: against references
       bench_img_peer.py reference OUT.tar TAR...  full decode and Pillow's Lanczos, as PNG, of what gather wrote
       bench_img_peer.py gather OUT.tar N WHICH FROM...  the JPEGs of tars and folders, N times over. WHICH: all; smaller, those
                                                   whose shorter side is above the target; plain, those that Pillow turns into RGB as
                                                   plait does: RGB and grey without a colour profile
       bench_img_peer.py pictures TAR...           how many pictures
       bench_img_peer.py have WAY                  exit status 0 when the modules of WAY are there
The shorter side becomes BENCH_SIDE pixels, 256 when that is not set.
"""
import io
import os
import resource
import sys
import tarfile

SIDE = int(os.environ.get("BENCH_SIDE", 256))
MODULES = {"img2dataset": "cv2", "img2dataset-webp": "cv2", "pillow": "PIL.Image", "pillow-full": "PIL.Image",
           "pillow-simd": "PIL.Image", "vips": "pyvips"}


def is_picture(name):
    return name.lower().endswith((".jpg", ".jpeg", ".png"))


def members(path):
    with tarfile.open(path) as tar:
        for m in tar:
            if m.isfile():
                yield m.name, tar.extractfile(m).read()


def scaled(w, h):
    s = SIDE / min(w, h)
    return max(1, round(w * s)), max(1, round(h * s))


def way_cv2(fmt, *params):
    import cv2
    import numpy
    cv2.setNumThreads(1)

    def do(data):
        im = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_COLOR)
        h, w = im.shape[:2]
        down = min(w, h) > SIDE
        im = cv2.resize(im, scaled(w, h), interpolation=cv2.INTER_AREA if down else cv2.INTER_CUBIC)
        return cv2.imencode(fmt, im, [getattr(cv2, p) if isinstance(p, str) else p for p in params])[1].tobytes()
    return do


def way_pillow(draft):
    from PIL import Image, ImageOps

    def do(data):
        im = Image.open(io.BytesIO(data))
        if draft:
            im.draft("RGB", (2 * SIDE, 2 * SIDE))
        im = ImageOps.exif_transpose(im).convert("RGB")
        im = im.resize(scaled(*im.size), Image.LANCZOS)
        out = io.BytesIO()
        im.save(out, "JPEG", quality=95, subsampling=2)
        return out.getvalue()
    return do


# thumbnail's kernel is Lanczos 3 when it reduces and bicubic when it enlarges, and no setting changes that: hence its low SSIM where
# pictures are enlarged. From quality 90 up it would leave chroma as it is, which is not the work that the others do.
def way_vips():
    import pyvips
    if hasattr(pyvips, "cache_set_max"):
        pyvips.cache_set_max(0)

    def do(data):
        im = pyvips.Image.new_from_buffer(data, "")
        w, h = im.width, im.height
        if im.get_typeof("orientation") and im.get("orientation") >= 5:
            w, h = h, w
        w, h = scaled(w, h)
        im = pyvips.Image.thumbnail_buffer(data, w, height=h, size="force")
        if im.hasalpha():
            im = im.flatten(background=255)
        return im.jpegsave_buffer(Q=95, subsample_mode="on", strip=True)
    return do


def way(name):
    if name == "img2dataset":
        return way_cv2(".jpg", "IMWRITE_JPEG_QUALITY", 95, "IMWRITE_JPEG_SAMPLING_FACTOR", "IMWRITE_JPEG_SAMPLING_FACTOR_420")
    if name == "img2dataset-webp":
        return way_cv2(".webp", "IMWRITE_WEBP_QUALITY", 80)
    return way_vips() if name == "vips" else way_pillow(name != "pillow-full")


def write(out, items):
    with tarfile.open(out, "w") as tar:
        for name, data in items:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def spent():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def run(name, out, tars):
    do = way(name)
    start = spent()
    write(out, ((n, do(d) if is_picture(n) else d) for t in tars for n, d in members(t)))
    print(spent() - start)


def wanted(which, data):
    from PIL import Image
    if data[:2] != b"\xff\xd8":
        return False
    if which == "all":
        return True
    im = Image.open(io.BytesIO(data))
    if which == "smaller":
        return min(im.size) > SIDE
    return im.mode in ("RGB", "L") and "icc_profile" not in im.info


def gather(out, repeat, which, places):
    def files(place):
        if os.path.isdir(place):
            for n in sorted(os.listdir(place)):
                with open(os.path.join(place, n), "rb") as f:
                    yield n, f.read()
        else:
            yield from members(place)
    found = [(n.rsplit("/", 1)[-1].rsplit(".", 1)[0], d) for p in places for n, d in files(p) if wanted(which, d)]
    write(out, ((f"{i}-{n}.jpg", d) for i in range(int(repeat)) for n, d in found))


def reference(out, tars):
    from PIL import Image, ImageOps

    def items():
        for t in tars:
            for n, d in members(t):
                if is_picture(n) and n.startswith("0-"):    # one copy of what gather made
                    im = ImageOps.exif_transpose(Image.open(io.BytesIO(d))).convert("RGB")
                    f = io.BytesIO()
                    im.resize(scaled(*im.size), Image.LANCZOS).save(f, "PNG", compress_level=1)
                    yield n, f.getvalue()
    write(out, items())


def ssim(a, b):
    """Mean SSIM of luma: 8x8 windows at every place."""
    import numpy

    def mean(x):
        c = numpy.cumsum(numpy.cumsum(numpy.pad(x, ((1, 0), (1, 0))), 0), 1)
        return (c[8:, 8:] - c[:-8, 8:] - c[8:, :-8] + c[:-8, :-8]) / 64
    ma, mb = mean(a), mean(b)
    va, vb, ab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = 6.5025, 58.5225
    return float(((2 * ma * mb + c1) * (2 * ab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean())


def key(name):
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def quality(ref, out):
    import numpy
    from PIL import Image
    refs = {key(n): d for n, d in members(ref)}
    s, p, least, size, n = 0.0, 0.0, 99.0, 0, 0
    for name, d in members(out):
        r = refs.get(key(name))
        if r is None or name.endswith((".json", ".txt")):
            continue
        a, b = (Image.open(io.BytesIO(x)).convert("RGB") for x in (r, d))
        if a.size != b.size:
            continue
        s += ssim(*(numpy.asarray(x.convert("L"), float) for x in (a, b)))
        e = ((numpy.asarray(a, float) - numpy.asarray(b, float)) ** 2).mean()
        e = 10 * numpy.log10(255 ** 2 / max(e, 1e-3))
        p += e
        least = min(least, e)
        size += len(d)
        n += 1
    print(f"{s / n:.5f} {p / n:.2f} {least:.2f} {size / n:.0f} {n}")


def main(args):
    if args[0] == "have":
        __import__(MODULES[args[1]])
    elif args[0] == "pictures":
        print(sum(is_picture(n) for t in args[1:] for n, _ in members(t)))
    elif args[0] == "gather":
        gather(args[1], args[2], args[3], args[4:])
    elif args[0] == "quality":
        quality(*args[1:])
    elif args[0] == "reference":
        reference(args[1], args[2:])
    else:
        run(args[0], args[1], args[2:])


main(sys.argv[1:])
