/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer that all words and records are written into. Its first error
 * stays, and what is said after it is not heard. */
#include "synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void synth_text_init(struct synth_text *t)
{
	memset(t, 0, sizeof(*t));
	pl_buf_init(&t->buf, 0);
}

void synth_text_release(struct synth_text *t)
{
	pl_buf_release(&t->buf);
}

void synth_text_clear(struct synth_text *t)
{
	pl_buf_clear(&t->buf);
}

static void add(struct synth_text *t, const void *s, size_t len)
{
	if (t->st == PL_OK)
		t->st = pl_buf_add(&t->buf, s, len, &t->err);
}

void synth_say(struct synth_text *t, const char *s)
{
	add(t, s, strlen(s));
}

void synth_sayf(struct synth_text *t, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line)) {
		if (t->st == PL_OK)
			t->st = pl_fail(&t->err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "a piece of text is over %zu bytes", sizeof(line));
		return;
	}
	add(t, line, (size_t)n);
}

void synth_say_json(struct synth_text *t, const char *s)
{
	add(t, "\"", 1);
	for (size_t run; *s != '\0'; s += run) {
		for (run = 0; (unsigned char)s[run] >= 0x20 && s[run] != '"' && s[run] != '\\'; run++)
			continue;
		add(t, s, run);
		if (s[run] == '\0')
			break;
		if (s[run] == '"' || s[run] == '\\')
			synth_sayf(t, "\\%c", s[run]);
		else if (s[run] == '\n')
			synth_say(t, "\\n");
		else
			synth_sayf(t, "\\u%04x", (unsigned)s[run]);
		run++;
	}
	add(t, "\"", 1);
}

void synth_expand(struct synth_text *t, const char *s, const char *const args[10])
{
	const char *dollar;

	while ((dollar = strchr(s, '$')) != NULL && dollar[1] >= '0' && dollar[1] <= '9') {
		add(t, s, (size_t)(dollar - s));
		synth_say(t, args[dollar[1] - '0']);
		s = dollar + 2;
	}
	synth_say(t, s);
}

const char *synth_text_string(const struct synth_text *t)
{
	return t->buf.data != NULL ? (const char *)t->buf.data : "";
}

enum pl_status synth_text_status(const struct synth_text *t, struct pl_err *err)
{
	if (t->st != PL_OK && err != NULL)
		*err = t->err;
	return t->st;
}
