/* SPDX-License-Identifier: Apache-2.0 */
/* WebP through libwebp: the picture, or the first frame of an animation laid
 * on its transparent canvas. */
#include "codec.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

static enum pl_reason reason_of(VP8StatusCode status)
{
	switch (status) {
	case VP8_STATUS_OK:
		return PL_REASON_KEEP;
	case VP8_STATUS_OUT_OF_MEMORY:
		return PL_REASON_NO_MEMORY;
	case VP8_STATUS_SUSPENDED:
	case VP8_STATUS_NOT_ENOUGH_DATA:
		return PL_REASON_TRUNCATED;
	case VP8_STATUS_UNSUPPORTED_FEATURE:
		return PL_REASON_UNSUPPORTED;
	case VP8_STATUS_INVALID_PARAM:
	case VP8_STATUS_BITSTREAM_ERROR:
	case VP8_STATUS_USER_ABORT:
		break;
	}
	return PL_REASON_CORRUPT;
}

/* Decode a still picture of width x height into rows of stride bytes at pixels[0..size). */
static enum pl_reason decode_still(const uint8_t *data, size_t len, bool rgba, uint32_t width,
    uint32_t height, uint8_t *pixels, size_t stride, size_t size)
{
	WebPDecoderConfig config;
	if (!WebPInitDecoderConfig(&config) || stride > INT32_MAX)
		return PL_REASON_UNSUPPORTED;
	VP8StatusCode status = WebPGetFeatures(data, len, &config.input);
	if (status != VP8_STATUS_OK)
		return reason_of(status);
	if (config.input.width != (int)width || config.input.height != (int)height)
		return PL_REASON_CORRUPT;
	config.output.colorspace = rgba ? MODE_RGBA : MODE_RGB;
	config.output.is_external_memory = 1;
	config.output.u.RGBA.rgba = pixels;
	config.output.u.RGBA.stride = (int)stride;
	config.output.u.RGBA.size = size;
	status = WebPDecode(data, len, &config);
	WebPFreeDecBuffer(&config.output);
	return reason_of(status);
}

static enum pl_reason decode_first(
    const uint8_t *data, size_t len, const struct pl_img_info *info, struct pl_image *out)
{
	const WebPData bytes = { data, len };
	WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
	WebPDemuxer *demux = WebPDemuxPartial(&bytes, &state);
	if (!demux)
		return state == WEBP_DEMUX_PARSING_HEADER ? PL_REASON_TRUNCATED : PL_REASON_CORRUPT;
	enum pl_reason reason = PL_REASON_CORRUPT;
	WebPIterator frame;
	memset(&frame, 0, sizeof(frame));
	if (!WebPDemuxGetFrame(demux, 1, &frame)) {
		reason = state == WEBP_DEMUX_DONE ? PL_REASON_CORRUPT : PL_REASON_TRUNCATED;
		goto done;
	}
	if (!frame.complete) {
		reason = PL_REASON_TRUNCATED;
		goto done;
	}
	if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width <= 0 || frame.height <= 0 ||
	    (uint32_t)frame.width > info->width ||
	    (uint32_t)frame.x_offset > info->width - (uint32_t)frame.width ||
	    (uint32_t)frame.height > info->height ||
	    (uint32_t)frame.y_offset > info->height - (uint32_t)frame.height)
		goto done;
	reason = pl_image_init(out, info->width, info->height, 4);
	if (reason != PL_REASON_KEEP)
		goto done;
	size_t stride = (size_t)out->width * 4, size = stride * out->height;
	memset(out->pixels, 0, size);
	size_t at = (size_t)frame.y_offset * stride + (size_t)frame.x_offset * 4;
	reason = decode_still(frame.fragment.bytes, frame.fragment.size, true,
	    (uint32_t)frame.width, (uint32_t)frame.height, out->pixels + at, stride, size - at);
done:
	WebPDemuxReleaseIterator(&frame);
	WebPDemuxDelete(demux);
	return reason;
}

enum pl_reason pl_decode_webp(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out)
{
	(void)lim;
	if (info->animated)
		return decode_first(data, len, info, out);
	enum pl_reason reason = pl_image_init(out, info->width, info->height, info->alpha ? 4 : 3);
	if (reason != PL_REASON_KEEP)
		return reason;
	size_t stride = (size_t)out->width * out->channels;
	return decode_still(data, len, info->alpha, out->width, out->height, out->pixels, stride,
	    stride * out->height);
}
