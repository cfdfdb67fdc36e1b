/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the code points of a document; n-grams are kept as 64-bit
 * hashes and counted at the end. Captions are short, so what is paid once a
 * text matters as much as what is paid once a code point. */
#include "text_measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <utf8proc.h>
#ifdef HAVE_UNISTRING
#include <unictype.h>
#include <unistring/version.h>
#endif

#include "kinds.h"
#include "libpipe/base/hash.h"
#ifdef HAVE_UNISTRING
#include "script_codes.h"
#endif

enum { LETTER = 1, MARK = 2, DIGIT = 4, NUMBER = 8, PUNCTUATION = 16, SPACE = 32 };
enum { SCRIPTS_MAX = 256, TABLE = 2 * PL_MEASURE_WINDOW };

/* Odd and arbitrary: equal n-grams have equal hashes, and others differ but once in 2^64. */
#define CHAR_BASE 0xD6E8FEB86659FD93u
#define WORD_BASE 0xA0761D6478BD642Fu

struct slot { uint64_t hash; uint32_t count; };

struct pl_text_meter {
	struct pl_language *language;
	uint8_t ascii[128];             /* classes */
	/* By the library's index, and one for what has none; zeros = no script that is told. */
	char scripts[SCRIPTS_MAX + 1][4];
	uint32_t letters[SCRIPTS_MAX + 1];
	const void *first_script;       /* the library's array */
	size_t latin;
	uint64_t drop;                  /* CHAR_BASE to the PL_CHAR_NGRAM */
	uint64_t *chars, *words;        /* hashes of n-grams */
	struct slot *table;
	uint32_t *counts;               /* of n-grams that come again */
	char *front;                    /* what the language is told by */
};

/* One text under way. */
struct state {
	uint64_t chars, special, digits, alnum, urls, nchars, nwords, seen;
	uint64_t tokens, marks;         /* punctuation: runs of word characters and marks; marks */
	bool in_token;
	uint32_t ring[PL_CHAR_NGRAM];
	unsigned at;                    /* place in ring */
	uint64_t rolling;
	uint64_t word, word_kept;       /* hash so far; up to the last character that stays */
	bool in_word;
	uint64_t last[PL_WORD_NGRAM];
	uint64_t words;
	size_t front;
};

static uint8_t class_of(uint32_t c)
{
	switch ((int)utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO: return LETTER;
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME: return MARK;
	case UTF8PROC_CATEGORY_ND: return DIGIT | NUMBER;
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO: return NUMBER;
	case UTF8PROC_CATEGORY_PC:
	case UTF8PROC_CATEGORY_PD:
	case UTF8PROC_CATEGORY_PS:
	case UTF8PROC_CATEGORY_PE:
	case UTF8PROC_CATEGORY_PI:
	case UTF8PROC_CATEGORY_PF:
	case UTF8PROC_CATEGORY_PO: return PUNCTUATION;
	default: return 0;
	}
}

#ifdef HAVE_UNISTRING
static int compare_script(const void *name, const void *entry)
{
	return strcmp(name, ((const struct pl_script_code *)entry)->name);
}

/* Common, Inherited and Unknown are no script of a text; one that is younger than our table is not told. */
static void name_scripts(struct pl_text_meter *m)
{
	const uc_script_t *all;
	size_t n;

	uc_all_scripts(&all, &n);
	for (size_t i = 0; i < n && i < SCRIPTS_MAX; i++) {
		const struct pl_script_code *e = bsearch(all[i].name, pl_script_codes, PL_ARRAY_LEN(pl_script_codes),
		    sizeof(pl_script_codes[0]), compare_script);
		if (e != NULL && e->code[0] != 'Z')
			memcpy(m->scripts[i], e->code, 4);
	}
	m->first_script = all;
}

static size_t script_of(const struct pl_text_meter *m, uint32_t c)
{
	const uc_script_t *s = uc_script(c);
	size_t i = s != NULL ? (size_t)(s - (const uc_script_t *)m->first_script) : SCRIPTS_MAX;

	return i < SCRIPTS_MAX ? i : SCRIPTS_MAX;
}

bool pl_script_name(char name[40])
{
	snprintf(name, 40, "libunistring %d.%d", _libunistring_version >> 8, _libunistring_version & 255);
	return true;
}
#else
static void name_scripts(struct pl_text_meter *m)
{
	(void)m;
}

static size_t script_of(const struct pl_text_meter *m, uint32_t c)
{
	(void)m;
	(void)c;
	return SCRIPTS_MAX;
}

bool pl_script_name(char name[40])
{
	name[0] = '\0';
	return false;
}
#endif

enum pl_status pl_text_meter_new(struct pl_text_meter **out, struct pl_language *language, struct pl_err *err)
{
	struct pl_text_meter *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return pl_fail_nomem(err);
	m->language = language;
	m->chars = malloc(PL_MEASURE_WINDOW * sizeof(*m->chars));
	m->words = malloc(PL_MEASURE_WINDOW / 2 * sizeof(*m->words));
	m->table = malloc(TABLE * sizeof(*m->table));
	m->counts = malloc(PL_MEASURE_WINDOW / 2 * sizeof(*m->counts));
	m->front = malloc(PL_LANGUAGE_MAX_BYTES + 8);
	if (m->chars == NULL || m->words == NULL || m->table == NULL || m->counts == NULL || m->front == NULL) {
		pl_text_meter_free(m);
		return pl_fail_nomem(err);
	}
	for (uint32_t c = 0; c < 128; c++)
		m->ascii[c] = class_of(c) | (c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : 0);
	m->drop = 1;
	for (int i = 0; i < PL_CHAR_NGRAM; i++)
		m->drop *= CHAR_BASE;
	name_scripts(m);
	m->latin = script_of(m, 'a');
	*out = m;
	return PL_OK;
}

void pl_text_meter_free(struct pl_text_meter *m)
{
	if (m == NULL)
		return;
	free(m->chars);
	free(m->words);
	free(m->table);
	free(m->counts);
	free(m->front);
	free(m);
}

/* The word under way ends: without its trailing special characters it is one of the last five. */
static void end_word(struct pl_text_meter *m, struct state *s)
{
	uint64_t h = 0;

	if (!s->in_word)
		return;
	s->in_word = false;
	s->last[s->words++ % PL_WORD_NGRAM] = pl_mix64(s->word_kept);
	if (s->words < PL_WORD_NGRAM)
		return;
	for (unsigned i = 0; i < PL_WORD_NGRAM; i++)
		h = h * WORD_BASE + s->last[(s->words + i) % PL_WORD_NGRAM];
	m->words[s->nwords++] = h;
}

/* Inside the window: n-grams of characters, words without the special characters around them. */
static void add_ngrams(struct pl_text_meter *m, struct state *s, uint32_t c, uint8_t class)
{
	s->rolling = s->rolling * CHAR_BASE + (c + 1) - m->drop * s->ring[s->at];
	s->ring[s->at] = c + 1;
	s->at = s->at + 1 < PL_CHAR_NGRAM ? s->at + 1 : 0;
	if (++s->seen >= PL_CHAR_NGRAM)
		m->chars[s->nchars++] = s->rolling;
	if (class & SPACE) {
		end_word(m, s);
		return;
	}
	if (!s->in_word) {
		if (!(class & (LETTER | MARK)))
			return;
		s->in_word = true;
		s->word = 0;
	}
	if (c < 128)
		c += c >= 'A' && c <= 'Z' ? 'a' - 'A' : 0;
	else
		c = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
	s->word = s->word * WORD_BASE + c + 1;
	if (class & (LETTER | MARK))
		s->word_kept = s->word;
}

/* Does an address begin at p? "www." counts where neither a letter nor "://" stands before it. */
static bool url_at(const char *p, size_t left, char before)
{
	if (left > 7 && strncasecmp(p, "http", 4) == 0)
		return strncmp(p + 4, "://", 3) == 0 || (left > 8 && (p[4] == 's' || p[4] == 'S') && strncmp(p + 5, "://", 3) == 0);
	return left > 4 && strncasecmp(p, "www.", 4) == 0 && before != '/' && before != '.' && before != '-' && before != '@' &&
	    !((before | 32) >= 'a' && (before | 32) <= 'z') && !(before >= '0' && before <= '9');
}

/* Words and marks, as the punctuation ratio counts them. */
static void add_token(struct state *s, uint32_t c, uint8_t class)
{
	bool word = (class & (LETTER | MARK | NUMBER)) || c == '_' || c == '\'';

	if (word && !s->in_token)
		s->tokens++;
	s->in_token = word;
	if (!word && (class & PUNCTUATION)) {
		s->tokens++;
		s->marks++;
	}
}

static void add_code_point(struct pl_text_meter *m, struct state *s, uint32_t c, uint8_t class)
{
	s->chars++;
	s->special += !(class & (LETTER | MARK));
	s->digits += (class & DIGIT) != 0;
	s->alnum += (class & (LETTER | NUMBER)) != 0;
	add_token(s, c, class);
	if (s->seen < PL_MEASURE_WINDOW)
		add_ngrams(m, s, c, class);
}

static void add_text(struct pl_text_meter *m, struct state *s, const char *text, size_t len)
{
	uint32_t latin = 0;

	for (size_t i = 0; i < len;) {
		unsigned char b = (unsigned char)text[i];
		utf8proc_int32_t c = b;
		utf8proc_ssize_t n = 1;
		uint8_t class;
		if (b < 0x80) {
			class = m->ascii[b];
			latin += class & LETTER;
			if (((b | 32) == 'h' || (b | 32) == 'w') && url_at(text + i, len - i, i > 0 ? text[i - 1] : ' '))
				s->urls++;
		} else {
			n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(len - i), &c);
			if (n <= 0) {
				i++;
				continue;
			}
			class = class_of((uint32_t)c) | (pl_space_at(text + i, len - i) > 0 ? SPACE : 0);
			if (class & LETTER)
				m->letters[script_of(m, (uint32_t)c)]++;
		}
		add_code_point(m, s, (uint32_t)c, class);
		i += (size_t)n;
	}
	m->letters[m->latin] += latin;
}

/* Count n hashes: how many distinct, and in m->counts the counts of those that come again. */
static uint64_t count_again(struct pl_text_meter *m, const uint64_t *hashes, uint64_t n, size_t *again)
{
	unsigned bits = 4;
	uint64_t distinct = 0;

	while (((uint64_t)1 << bits) < 2 * n)
		bits++;
	memset(m->table, 0, ((size_t)1 << bits) * sizeof(*m->table));
	for (uint64_t i = 0; i < n; i++) {
		uint64_t mask = ((uint64_t)1 << bits) - 1, at = pl_mix64(hashes[i]) & mask;
		while (m->table[at].count > 0 && m->table[at].hash != hashes[i])
			at = (at + 1) & mask;
		distinct += m->table[at].count == 0;
		m->table[at].hash = hashes[i];
		m->table[at].count++;
	}
	*again = 0;
	if (distinct < n)
		for (uint64_t i = 0; i < (uint64_t)1 << bits; i++)
			if (m->table[i].count > 1)
				m->counts[(*again)++] = m->table[i].count;
	return distinct;
}

static int compare_down(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

/* Share of the occurrences that belong to the min(sqrt(distinct), repeated) most frequent n-grams. */
static float char_repetition(struct pl_text_meter *m, uint64_t n)
{
	size_t again;
	uint64_t distinct = count_again(m, m->chars, n, &again), top = 0, sum = 0;

	while ((top + 1) * (top + 1) <= distinct)
		top++;
	if (again > top)
		qsort(m->counts, again, sizeof(*m->counts), compare_down);
	else
		top = again;
	for (uint64_t i = 0; i < top; i++)
		sum += m->counts[i];
	return n > 0 ? (float)((double)sum / (double)n) : 0;
}

/* Share of the occurrences that belong to an n-gram that comes again. */
static float word_repetition(struct pl_text_meter *m, uint64_t n)
{
	size_t again;
	uint64_t sum = 0;

	(void)count_again(m, m->words, n, &again);
	for (size_t i = 0; i < again; i++)
		sum += m->counts[i];
	return n > 0 ? (float)((double)sum / (double)n) : 0;
}

static void main_script(const struct pl_text_meter *m, char code[4])
{
	uint32_t most = 0;

	memset(code, 0, 4);
	for (size_t i = 0; i < SCRIPTS_MAX; i++) {
		if (m->letters[i] == 0 || m->letters[i] < most || m->scripts[i][0] == '\0')
			continue;
		if (m->letters[i] > most || memcmp(m->scripts[i], code, 4) < 0)
			memcpy(code, m->scripts[i], 4);
		most = m->letters[i];
	}
}

static float share(uint64_t part, uint64_t whole)
{
	return whole > 0 ? (float)((double)part / (double)whole) : NAN;
}

static void finish(struct pl_text_meter *m, struct state *s, struct pl_text_measures *out)
{
	end_word(m, s);
	out->chars = s->chars;
	out->urls = s->urls;
	out->special = share(s->special, s->chars);
	out->digits = share(s->digits, s->chars);
	out->alnum = share(s->alnum, s->chars);
	out->punctuation = s->tokens > 0 ? share(s->marks, s->tokens) : share(0, s->chars);
	out->char_repetition = s->chars > 0 ? char_repetition(m, s->nchars) : NAN;
	out->word_repetition = s->chars > 0 ? word_repetition(m, s->nwords) : NAN;
	main_script(m, out->script);
	memset(out->language, 0, 4);
	out->language_margin = NAN;
	if (m->language != NULL)
		pl_language_guess(m->language, m->front, s->front, out->script, out->language, &out->language_margin);
}

/* The front of the text, for the language; it may end in a half code point past the part that is looked at. */
static void add_front(struct pl_text_meter *m, struct state *s, const char *text, size_t len)
{
	size_t room = PL_LANGUAGE_MAX_BYTES + 8 - s->front;

	if (room == 0 || m->language == NULL)
		return;
	if (s->front > 0) {
		m->front[s->front++] = '\n';
		room--;
	}
	len = len < room ? len : room;
	memcpy(m->front + s->front, text, len);
	s->front += len;
}

enum pl_status pl_text_measure(struct pl_text_meter *m, const struct pl_document *d, struct pl_text_measures *out,
    struct pl_err *err)
{
	struct state s = {0};
	bool first = true;

	(void)err;
	memset(m->letters, 0, sizeof(m->letters));
	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *g = &d->segments[i];
		if (g->is_image)
			continue;
		/* The line break stands in n-grams, and is no character of the text. */
		if (!first && s.seen < PL_MEASURE_WINDOW)
			add_ngrams(m, &s, '\n', SPACE);
		s.in_token = false;
		first = false;
		add_text(m, &s, g->text, g->text_len);
		add_front(m, &s, g->text, g->text_len);
	}
	finish(m, &s, out);
	return PL_OK;
}
