#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Odd pictures and what Pillow makes of them.

golden.py make KIND OUT.tar     write the pictures of a kind
golden.py check KIND MADE.tar   compare PNGs made of them with Pillow's pixels on white; fails beyond the tolerance
golden.py counts                the frames of the kind "frames", in the order of their names
"""
import csv
import io
import os
import struct
import sys
import tarfile
import zlib

import numpy as np
from PIL import Image, ImageCms, ImageOps

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import corpora

W, H = 61, 43
FRAMES = {"a0.gif": 1, "a1.gif": 5, "b0.webp": 1, "b1.webp": 4, "c0.png": 1, "c1.png": 3}


def photo(seed=1, size=(W, H)):
    return corpora.picture(seed, *size)


def written(image, form, **how):
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def on_white(image):
    """RGB pixels as plait has them: alpha on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"), np.float64)
        alpha = rgba[..., 3:] / 255
        return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha))
    return np.asarray(image.convert("RGB"), np.float64)


def opened(data):
    return Image.open(io.BytesIO(data))


def plain(data):
    return on_white(ImageOps.exif_transpose(opened(data)))


def alpha_ramp(image):
    ramp = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    out = image.convert("RGBA")
    out.putalpha(Image.fromarray(ramp))
    return out


# Each maker yields name, bytes, expected pixels, most levels that one may be off.

def exif():
    for orientation in range(1, 9):
        tags = Image.Exif()
        tags[0x112] = orientation
        for form, extension in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
            data = written(photo(orientation), form, exif=tags, quality=95)
            yield f"{orientation}{extension}.{extension}", data, plain(data), 1


def zigzag():
    return sorted(((y, x) for y in range(8) for x in range(8)), key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))


class Bits:
    """Entropy-coded data of a scan."""

    def __init__(self):
        self.word, self.count, self.out = 0, 0, bytearray()

    def put(self, value, count):
        self.word, self.count = self.word << count | value, self.count + count
        while self.count >= 8:
            self.count -= 8
            self.out += bytes([self.word >> self.count & 255]) + (b"\0" if self.word >> self.count & 255 == 255 else b"")
            self.word &= (1 << self.count) - 1

    def number(self, codes, run, value):
        size = int(abs(value)).bit_length()
        self.put(*codes[run << 4 | size])
        if size:
            self.put(value if value > 0 else value + (1 << size) - 1, size)


def huffman_codes(data):
    """Of each table in a JPEG: its byte of class and number, and symbol -> (code, bits)."""
    tables, at = {}, 2
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        p = at + 4
        while data[at + 1] == 0xC4 and p < end:
            codes, code, symbols = {}, 0, p + 17
            for bits in range(1, 17):
                for _ in range(data[p + bits]):
                    codes[data[symbols]] = (code, bits)
                    code, symbols = code + 1, symbols + 1
                code <<= 1
            tables[data[p]], p = codes, symbols
        at = end
    return tables


def jpeg_sampled(image, across, down):
    """A baseline JPEG whose chroma is subsampled as Pillow does not: that of 4:4:4 with other factors and another scan."""
    whole = written(image, "JPEG", quality=100, subsampling="4:4:4")
    tables, frame, scan = huffman_codes(whole), whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    mcu_w, mcu_h = 8 * across, 8 * down
    width, height = -image.width % mcu_w + image.width, -image.height % mcu_h + image.height
    planes = np.pad(np.asarray(image.convert("YCbCr"), np.float64), ((0, height - image.height), (0, width - image.width), (0, 0)), "edge")
    coarse = planes.reshape(height // down, down, width // across, across, 3).mean((1, 3))
    k = np.arange(8)
    dct = np.sqrt(np.where(k == 0, 1, 2) / 8)[:, None] * np.cos((2 * k + 1) * k[:, None] * np.pi / 16)
    bits, before, order = Bits(), [0, 0, 0], zigzag()

    def block(plane, y, x, c):
        values = np.rint(dct @ (plane[y:y + 8, x:x + 8, c] - 128) @ dct.T)     # quality 100 divides by 1
        values = [int(values[p]) for p in order]
        bits.number(tables[c > 0], 0, values[0] - before[c])
        before[c], run = values[0], 0
        for v in values[1:]:
            if v == 0:
                run += 1
                continue
            while run > 15:
                bits.put(*tables[0x10 | (c > 0)][0xF0])
                run -= 16
            bits.number(tables[0x10 | (c > 0)], run, v)
            run = 0
        if run:
            bits.put(*tables[0x10 | (c > 0)][0])

    for y in range(0, height, mcu_h):
        for x in range(0, width, mcu_w):
            for sub in range(across * down):
                block(planes, y + sub // across * 8, x + sub % across * 8, 0)
            for c in (1, 2):
                block(coarse, y // down, x // across, c)
    bits.put(127, 7)
    head = bytearray(whole[:scan + 14])
    head[frame + 11] = across << 4 | down
    return bytes(head) + bytes(bits.out) + b"\xff\xd9"


def ycck(image):
    """CMYK as Adobe's programs write it: Y, Cb, Cr and K, inverted."""
    planes = image.convert("YCbCr").split() + (image.convert("L").point(lambda v: 255 - v // 3),)
    data = bytearray(written(Image.merge("CMYK", planes), "JPEG", quality=95))
    adobe = data.index(b"Adobe")
    assert data[adobe + 11] == 0
    data[adobe + 11] = 2
    return bytes(data)


def jpeg():
    data = ycck(photo())
    yield "ycck.jpg", data, plain(data), 1
    for name, across, down in (("440", 1, 2), ("411", 4, 1), ("410", 4, 2), ("441", 1, 4)):
        data = jpeg_sampled(photo(), across, down)
        factors = [layer[1:3] for layer in opened(data).layer]
        assert factors == [(across, down), (1, 1), (1, 1)], factors
        assert np.abs(plain(data) - np.asarray(photo(), np.float64)).mean() < 20, "not the picture"
        yield f"s{name}.jpg", data, plain(data), 1
    cases = {"cmyk": photo().convert("CMYK"), "grey": photo().convert("L")}
    for name, image in cases.items():
        data = written(image, "JPEG", quality=95)
        yield f"{name}.jpg", data, plain(data), 1
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            data = written(photo(), "JPEG", quality=90, subsampling=sampling, progressive=progressive)
            yield f"s{sampling.replace(':', '')}{progressive:d}.jpg", data, plain(data), 1


def png_bytes(width, height, depth, colour, rows, *chunks):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    raw = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
            + b"".join(chunk(*c) for c in chunks) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def png():
    for name, image in {"bits": photo().convert("1"), "grey": photo().convert("L"), "rgb": photo(),
                        "palette": photo().quantize(37), "palette2": photo().quantize(3),
                        "la": alpha_ramp(photo()).convert("LA"), "rgba": alpha_ramp(photo())}.items():
        data = written(image, "PNG")
        yield f"{name}.png", data, plain(data), 1
    see_through = photo().quantize(16)
    data = written(see_through, "PNG", transparency=bytes([0, 128, 255, 60]))
    yield "trns.png", data, plain(data), 1
    # 16 bits: the nearest of 256 levels.
    deep = np.arange(W * H, dtype=np.uint32).reshape(H, W) * 25 % 65536
    level = np.rint(deep / 257.0)
    yield ("deep1.png", png_bytes(W, H, 16, 0, [row.astype(">u2").tobytes() for row in deep]), np.repeat(level[..., None], 3, 2), 0)
    rgb = np.stack([deep, 65535 - deep, deep // 2], 2)
    yield "deep3.png", png_bytes(W, H, 16, 2, [row.astype(">u2").tobytes() for row in rgb]), np.rint(rgb / 257.0), 0


def srgb_of(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def linear_of(encoded):
    return np.where(encoded <= 0.04045, encoded / 12.92, np.power((encoded + 0.055) / 1.055, 2.4))


# Display P3's primaries in sRGB's; both have D65 and the same curve.
P3_TO_SRGB = np.array([[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786361, 1.0982736]])


def gamma():
    pixels = np.asarray(photo())
    rows = [row.tobytes() for row in pixels]
    for name, value, chunks in (("linear", 100000, ()), ("mac", 55556, ()), ("usual", 45455, ()),
                                ("said", 100000, ((b"sRGB", b"\0"),))):
        data = png_bytes(W, H, 8, 2, rows, (b"gAMA", struct.pack(">I", value)), *chunks)
        same = name in ("usual", "said")
        expected = pixels if same else np.rint(255 * srgb_of(np.power(pixels / 255.0, 100000 / value)))
        yield f"{name}.png", data, expected.astype(np.float64), 0 if same else 1


def alpha():
    image = alpha_ramp(photo())
    data = written(image, "PNG")
    yield "p.png", data, plain(data), 1
    data = written(image, "WEBP", lossless=True)
    yield "w.webp", data, plain(data), 1
    flat = photo().quantize(20)
    data = written(flat, "GIF", transparency=3)
    yield "g.gif", data, plain(data), 1


def frames():
    for name, count in FRAMES.items():
        images = [photo(k) for k in range(count)]
        form = {"gif": "GIF", "webp": "WEBP", "png": "PNG"}[name.split(".")[1]]
        how = {"lossless": True} if form == "WEBP" else {}
        if count > 1:
            how.update(save_all=True, append_images=images[1:], duration=100)
        data = written(images[0].quantize(64) if form == "GIF" else images[0], form, **how)
        first = opened(data)
        first.seek(0)
        yield name, data, on_white(first), 1


def profile_p3():
    """Pillow's sRGB profile with Display P3's primaries."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = {b"rXYZ": (0.51512, 0.24120, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189), b"bXYZ": (0.15710, 0.06657, 0.78407)}
    for i in range(struct.unpack(">I", icc[128:132])[0]):
        name, offset = struct.unpack(">4sI", icc[132 + 12 * i:140 + 12 * i])
        if name in columns:
            icc[offset + 8:offset + 20] = struct.pack(">3i", *(round(v * 65536) for v in columns[name]))
    return bytes(icc)


def profile_grey():
    """Grey of gamma 1.8."""
    def tag(body):
        return body + b"\0" * (-len(body) % 4)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
            b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, 461)}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += tag(data)
    head = struct.pack(">I4sI4s4s4s12s4s4sII4sQI3i", offset + len(body), b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ",
                       b"\x07\xD0\0\1\0\1" + b"\0" * 6, b"acsp", b"none", 0, 0, b"none", 0, 0, 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def icc():
    srgb, p3 = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), profile_p3()
    for name, form, how in (("j.jpg", "JPEG", {"quality": 95}), ("p.png", "PNG", {}), ("w.webp", "WEBP", {"lossless": True})):
        data = written(photo(), form, icc_profile=p3, **how)
        converted = ImageCms.profileToProfile(opened(data).convert("RGB"), ImageCms.ImageCmsProfile(io.BytesIO(p3)), srgb)
        assert np.abs(on_white(converted) - plain(data)).max() > 8, "this picture would not show it"
        yield name, data, on_white(converted), 1
        data = written(photo(), form, icc_profile=srgb.tobytes(), **how)
        yield "s" + name, data, plain(data), 1
    rgba = alpha_ramp(photo())
    data = written(rgba, "PNG", icc_profile=p3)
    converted = ImageCms.profileToProfile(photo(), ImageCms.ImageCmsProfile(io.BytesIO(p3)), srgb).convert("RGBA")
    converted.putalpha(rgba.getchannel("A"))
    yield "a.png", data, on_white(converted), 1
    grey = photo().convert("L")
    level = np.rint(255 * srgb_of(np.power(np.asarray(grey) / 255.0, 461 / 256)))
    yield "g.png", written(grey, "PNG", icc_profile=profile_grey()), np.repeat(level[..., None], 3, 2), 1
    # Patches by the two standards' own matrices, without lcms2. All lie within sRGB.
    patches = np.array([(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 120, 80), (90, 160, 110), (70, 90, 180), (180, 180, 60)], np.float64)
    expected = np.clip(np.rint(255 * srgb_of(linear_of(patches / 255) @ P3_TO_SRGB.T)), 0, 255)
    assert np.abs(expected - patches).max() > 8
    data = written(Image.fromarray(np.tile(patches.astype(np.uint8)[:, None], (1, 8, 1))), "PNG", icc_profile=p3)
    yield "patch.png", data, np.tile(expected[:, None], (1, 8, 1)), 1
    # A profile that is broken leaves the pixels as they are.
    data = written(photo(), "JPEG", quality=95, icc_profile=p3[:200])
    yield "b.jpg", data, plain(data), 1


def shared():
    """What other projects test with and the index calls valid; not what Pillow does another way (16 bits, gAMA, profiles)."""
    root = os.environ["PLAIT_SHARED_DATA"] + "/hostile/"
    for i, row in enumerate(csv.DictReader(open(root + "index.tsv"), delimiter="\t", quoting=csv.QUOTE_NONE)):
        extension = row["path"].rsplit(".", 1)[-1].lower()
        if row["expect"] != "valid" or extension not in ("jpg", "jpeg", "png", "webp"):
            continue
        data = open(root + row["path"], "rb").read()
        if b"gAMA" in data[:200] or b"ICC_PROFILE" in data or b"iCCP" in data:
            continue
        try:
            image = opened(data)
            if image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK") or (extension == "png" and data[24] == 16):
                continue
            yield f"{i:05d}.{extension}", data, plain(data), 2
        except (OSError, ValueError, SyntaxError):
            continue


def cameras():
    """Photographs with profiles of all sorts, converted by lcms2; where plait takes one for sRGB's the difference stays small."""
    srgb, n = ImageCms.createProfile("sRGB"), 0
    for name in ("imagenet-sample", "raccoon-web", "cameras-exif"):
        tar = tarfile.open(os.environ["PLAIT_SHARED_DATA"] + f"/photos/{name}.tar")
        for member in tar:
            if not member.name.lower().endswith((".jpg", ".jpeg")):
                continue
            data = tar.extractfile(member).read()
            image = opened(data)
            if image.mode != "RGB" or not image.info.get("icc_profile") or image.width * image.height > 2000000:
                continue
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            expected = ImageCms.profileToProfile(ImageOps.exif_transpose(image), profile, srgb)
            yield f"{n:03d}.jpg", data, on_white(expected), 2
            n += 1


KINDS = {f.__name__: f for f in (exif, jpeg, png, gamma, alpha, frames, icc, shared, cameras)}


def make(kind, path):
    shard = corpora.Shard(path)
    for name, data, _, _ in KINDS[kind]():
        shard.add(name, data)
    shard.close()


def check(kind, path):
    tar = tarfile.open(path)
    made = {m.name.rsplit(".", 1)[0]: tar.extractfile(m).read() for m in tar}
    wrong = seen = 0
    for name, _, expected, tolerance in KINDS[kind]():
        data = made.get(name.rsplit(".", 1)[0])
        if data is None:
            print(f"{name}: not there")
            wrong += 1
            continue
        got = np.asarray(opened(data).convert("RGB"), np.float64)
        seen += 1
        if got.shape != expected.shape:
            print(f"{name}: {got.shape}, expected {expected.shape}")
            wrong += 1
        elif np.abs(got - expected).max() > tolerance:
            print(f"{name}: off by up to {np.abs(got - expected).max():.0f}, {np.abs(got - expected).mean():.2f} on average")
            wrong += 1
    print(f"{seen} pictures, {wrong} wrong")
    return wrong > 0 or seen == 0


def main(how, *args):
    if how == "make":
        return make(*args)
    if how == "check":
        return check(*args)
    print("\n".join(str(FRAMES[name]) for name in sorted(FRAMES)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
