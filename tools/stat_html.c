/* SPDX-License-Identifier: Apache-2.0 */
/* The page; see stat_html.h. */
#include "stat_html.h"

#include "libpipe/base/opt.h"

#include <string.h>

enum { BARS = 40, BAR_WIDTH = 6, PLOT_HEIGHT = 60 };

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>plait stat</title>\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    ":root { color-scheme: light dark; --dim: #8888; --bar: #4a8fd0 }\n"
    "body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }\n"
    "h1 { margin: 2.5rem 0 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.1rem } .line, small { opacity: .7 }\n"
    "table { border-collapse: collapse } td, th { padding: .1rem .8rem .1rem 0; text-align: left; vertical-align: top }\n"
    "td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }\n"
    ".bar { display: block; height: .7rem; margin-top: .35rem; min-width: 1px; background: var(--bar) }\n"
    ".plots, .sheet { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)) }\n"
    ".sheet { grid-template-columns: repeat(auto-fill, minmax(176px, 1fr)) }\n"
    "figure { margin: 0; overflow-wrap: anywhere } svg { fill: var(--bar); border-bottom: 1px solid var(--dim) }\n"
    ".sheet img { display: block; width: auto; max-width: 100%; height: auto }\n"
    ".none { padding: 2rem 0; text-align: center; background: var(--dim) }\n"
    "figcaption { font-size: .8rem } figcaption b { font-weight: 600 }\n"
    "</style>\n";

/* Text of unknown origin: markup escaped, control characters gone, and what is not UTF-8 replaced. */
static enum pl_status add_text(struct pl_buf *page, const char *text, struct pl_err *err)
{
	size_t len = strlen(text), valid = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < len && st == PL_OK; i++) {
		const unsigned char c = (unsigned char)text[i];
		if (i >= valid && (valid = len, !pl_utf8_valid(text + i, len - i, &valid))) {
			valid += i;
			if (valid == i) {
				valid = i + 1;
				st = pl_buf_adds(page, "\xEF\xBF\xBD", err);
				continue;
			}
		}
		if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
			st = pl_buf_addf(page, err, "&#%u;", c);
		else
			st = pl_buf_add(page, c < 0x20 || c == 0x7f ? " " : text + i, 1, err);
	}
	return st;
}

static enum pl_status add_base64(struct pl_buf *page, const uint8_t *p, size_t len, struct pl_err *err)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < len && st == PL_OK; i += 3) {
		const size_t left = len - i;
		const uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
		const char four[4] = {
			digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=', left > 2 ? digits[v & 63] : '='
		};
		st = pl_buf_add(page, four, sizeof(four), err);
	}
	return st;
}

enum pl_status html_begin(struct pl_buf *page, struct pl_err *err)
{
	return pl_buf_adds(page, head, err);
}

enum pl_status html_end(struct pl_buf *page, struct pl_err *err)
{
	return pl_buf_addf(page, err, "<p class=\"line\">plait %s</p>\n</html>\n", PL_VERSION);
}

enum pl_status html_part(struct pl_buf *page, const char *title, const char *line, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(page, "<h1>", err);

	if (st == PL_OK)
		st = add_text(page, title, err);
	if (st == PL_OK)
		st = pl_buf_adds(page, "</h1>\n<p class=\"line\">", err);
	if (st == PL_OK)
		st = add_text(page, line, err);
	return st == PL_OK ? pl_buf_adds(page, "</p>\n", err) : st;
}

/* ---- numbers ---- */

static uint64_t sum(const uint64_t *counts, size_t n)
{
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += counts[i];
	return all;
}

static enum pl_status add_verdicts(struct pl_buf *page, const char *what, const uint64_t *counts, struct pl_err *err)
{
	const double all = (double)sum(counts, PL_REASON_COUNT);
	enum pl_status st = pl_buf_addf(page, err, "<h2>%s</h2>\n<table>\n", what);

	for (unsigned r = 0; r < PL_REASON_COUNT && st == PL_OK; r++)
		if (counts[r] > 0)
			st = pl_buf_addf(page, err, "<tr><td>%s<td class=\"n\">%llu<td class=\"n\">%.1f %%"
			    "<td><span class=\"bar\" style=\"width: %.2frem\"></span><td>%s\n", pl_reason_name(r), (unsigned long long)counts[r],
			    100 * (double)counts[r] / all, 12 * (double)counts[r] / all, r == PL_REASON_KEEP ? "" : pl_reason_text(r));
	return st == PL_OK ? pl_buf_adds(page, "</table>\n", err) : st;
}

static enum pl_status add_plot(struct pl_buf *page, const struct numbers *n, enum quantity what, struct pl_err *err)
{
	uint64_t bars[BARS], most = 1;
	double from, to;
	enum pl_status st;

	if (!numbers_bars(n, what, bars, BARS, &from, &to))
		return PL_OK;
	for (size_t i = 0; i < BARS; i++)
		most = bars[i] > most ? bars[i] : most;
	st = pl_buf_addf(page, err, "<figure><svg width=\"%d\" height=\"%d\">", BARS * BAR_WIDTH, PLOT_HEIGHT);
	for (int i = 0; i < BARS && st == PL_OK; i++) {
		const double share = (double)bars[i] / (double)most, high = share * PLOT_HEIGHT < 1 ? 1 : share * PLOT_HEIGHT;
		if (bars[i] > 0)
			st = pl_buf_addf(page, err, "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/>", i * BAR_WIDTH,
			    PLOT_HEIGHT - high, BAR_WIDTH - 1, high);
	}
	if (st == PL_OK)
		st = pl_buf_addf(page, err, "</svg><figcaption><b>%s</b> %.6g to %.6g, median %.6g%s</figcaption></figure>\n",
		    quantity_kinds[what].name, from, to, numbers_quantile(n, what, 0.5), quantity_kinds[what].logarithmic ? "; logarithmic" : "");
	return st;
}

enum pl_status html_numbers(struct pl_buf *page, const struct numbers *n, struct pl_err *err)
{
	enum pl_status st = add_verdicts(page, "Samples", n->samples, err);

	if (st == PL_OK && sum(n->images, PL_REASON_COUNT) > 0)
		st = add_verdicts(page, "Images", n->images, err);
	if (st == PL_OK)
		st = pl_buf_adds(page, "<p>", err);
	for (unsigned f = 0; f < PL_FORMAT_COUNT && st == PL_OK; f++)
		if (n->formats[f] > 0)
			st = pl_buf_addf(page, err, "%llu %s, ", (unsigned long long)n->formats[f], pl_format_name((enum pl_format)f));
	if (st == PL_OK)
		st = pl_buf_addf(page, err, "%llu blank, %llu animated</p>\n<div class=\"plots\">\n", (unsigned long long)n->blank,
		    (unsigned long long)n->animated);
	for (int q = 0; q < QUANTITIES && st == PL_OK; q++)
		st = add_plot(page, n, (enum quantity)q, err);
	return st == PL_OK ? pl_buf_adds(page, "</div>\n", err) : st;
}

enum pl_status html_sources(struct pl_buf *page, const json_t *sources, struct pl_err *err)
{
	static const char *const fields[] = { "in", "kept", "drawn", "repeated", "not_drawn", "out" };
	const json_t *source;
	size_t i;
	enum pl_status st = pl_buf_adds(page, "<h2>Sources</h2>\n<table>\n<tr><th>source", err);

	for (size_t k = 0; k < PL_ARRAY_LEN(fields) && st == PL_OK; k++)
		st = pl_buf_addf(page, err, "<th class=\"n\">%s", fields[k]);
	json_array_foreach(sources, i, source) {
		const char *name = pl_json_str(source, "name");
		if (st == PL_OK)
			st = pl_buf_adds(page, "\n<tr><td>", err);
		if (st == PL_OK)
			st = add_text(page, name != NULL ? name : "?", err);
		for (size_t k = 0; k < PL_ARRAY_LEN(fields) && st == PL_OK; k++)
			st = pl_buf_addf(page, err, "<td class=\"n\">%.0f", pl_json_num(source, fields[k], 0));
	}
	return st == PL_OK ? pl_buf_adds(page, "\n</table>\n", err) : st;
}

/* ---- pictures ---- */

static enum pl_status add_picture(struct pl_buf *page, const struct sheet_tile *t, struct pl_err *err)
{
	enum pl_status st;

	if (t->jpeg == NULL)
		return t->picture ? pl_buf_adds(page, "<div class=\"none\">cannot be shown</div>", err) : PL_OK;
	st = pl_buf_adds(page, "<img alt=\"\" src=\"data:image/jpeg;base64,", err);
	if (st == PL_OK)
		st = add_base64(page, t->jpeg, t->len, err);
	return st == PL_OK ? pl_buf_adds(page, "\">", err) : st;
}

static enum pl_status add_tile(struct pl_buf *page, const struct sheet_tile *t, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(page, "<figure>", err);

	if (st == PL_OK)
		st = add_picture(page, t, err);
	if (st == PL_OK)
		st = pl_buf_adds(page, "<figcaption><b>", err);
	if (st == PL_OK)
		st = add_text(page, t->key != NULL ? t->key : "?", err);
	if (st == PL_OK)
		st = pl_buf_adds(page, "</b>", err);
	if (st == PL_OK && t->width > 0)
		st = pl_buf_addf(page, err, " <small>%u &times; %u</small>", (unsigned)t->width, (unsigned)t->height);
	if (st == PL_OK)
		st = pl_buf_adds(page, "<br><bdi>", err);
	if (st == PL_OK && t->text != NULL)
		st = add_text(page, t->text, err);
	return st == PL_OK ? pl_buf_adds(page, "</bdi></figcaption></figure>\n", err) : st;
}

enum pl_status html_sheet(struct pl_buf *page, const struct sheet *s, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < s->n && st == PL_OK; i++) {
		const enum pl_reason r = s->tiles[i].verdict;
		size_t n = 0;
		while (i + n < s->n && s->tiles[i + n].verdict == r)
			n++;
		st = pl_buf_addf(page, err, "<h2>%s <small>%zu of %llu%s%s</small></h2>\n<div class=\"sheet\">\n", pl_reason_name(r), n,
		    (unsigned long long)s->total[r], r == PL_REASON_KEEP ? "" : ": ", r == PL_REASON_KEEP ? "" : pl_reason_text(r));
		for (size_t k = 0; k < n && st == PL_OK; k++)
			st = add_tile(page, &s->tiles[i + k], err);
		if (st == PL_OK)
			st = pl_buf_adds(page, "</div>\n", err);
		i += n - 1;
	}
	return st;
}
