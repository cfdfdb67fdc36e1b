/* SPDX-License-Identifier: Apache-2.0 */
/* Captions that say what is in the picture: shapes, colours and places, in five
 * languages. In each language all shapes have one gender, so that colours
 * need one form. */
#include "synth.h"

#include <string.h>

enum { LEADS = 6, COPY_LEAD = 4, PLACES = 9 };

struct grammar {
	const char *leads[LEADS];
	const char *colours[SYNTH_COLOURS];   /* of a shape */
	const char *grounds[SYNTH_COLOURS];   /* of the ground */
	const char *forms[SYNTH_FORMS];
	const char *places[PLACES];           /* row by row from the top left */
	const char *item;                     /* $0 colour, $1 form, $2 place */
	const char *comma, *last;             /* between items */
	const char *whole;                    /* $0 lead, $1 items, $2 ground */
	const char *question;
};

static const struct grammar grammars[] = {
	[SYNTH_ENGLISH] = {
		{ "A photo of", "Picture showing", "A poster with", "Stock illustration:", "Abstract painting of", "Wallpaper with" },
		{ "a black", "a white", "a grey", "a red", "an orange", "a yellow", "a green", "a turquoise", "a blue", "a violet",
		  "a pink", "a brown" },
		{ "a black", "a white", "a grey", "a red", "an orange", "a yellow", "a green", "a turquoise", "a blue", "a violet",
		  "a pink", "a brown" },
		{ "ellipse", "triangle", "quadrangle", "pentagon", "hexagon" },
		{ "at the top left", "at the top", "at the top right", "on the left", "in the middle", "on the right",
		  "at the bottom left", "at the bottom", "at the bottom right" },
		"$0 $1 $2", ", ", " and ", "$0 $1 on $2 background", "What can be seen in this picture?",
	},
	[SYNTH_CHINESE] = {
		{ "图片：", "照片：", "插画：", "海报：", "抽象画：", "壁纸：" },
		{ "黑色", "白色", "灰色", "红色", "橙色", "黄色", "绿色", "青色", "蓝色", "紫色", "粉色", "棕色" },
		{ "黑色", "白色", "灰色", "红色", "橙色", "黄色", "绿色", "青色", "蓝色", "紫色", "粉色", "棕色" },
		{ "椭圆", "三角形", "四边形", "五边形", "六边形" },
		{ "左上方", "上方", "右上方", "左边", "中间", "右边", "左下方", "下方", "右下方" },
		"$2有一个$0的$1", "，", "，", "$0$2背景上，$1。", "这张图片里有什么？",
	},
	[SYNTH_ARABIC] = {
		{ "صورة فيها", "رسم فيه", "ملصق فيه", "لوحة فيها", "خلفية فيها", "تصميم فيه" },
		{ "أسود", "أبيض", "رمادي", "أحمر", "برتقالي", "أصفر", "أخضر", "فيروزي", "أزرق", "بنفسجي", "وردي", "بني" },
		{ "أسود", "أبيض", "رمادي", "أحمر", "برتقالي", "أصفر", "أخضر", "فيروزي", "أزرق", "بنفسجي", "وردي", "بني" },
		{ "شكل بيضوي", "مثلث", "شكل رباعي", "شكل خماسي", "شكل سداسي" },
		{ "في أعلى اليسار", "في الأعلى", "في أعلى اليمين", "على اليسار", "في الوسط", "على اليمين", "في أسفل اليسار",
		  "في الأسفل", "في أسفل اليمين" },
		"$1 $0 $2", "، ", " و", "$0 $1 على سطح $2", "ماذا يظهر في هذه الصورة؟",
	},
	[SYNTH_GERMAN] = {
		{ "Ein Foto:", "Ein Bild:", "Ein Plakat:", "Illustration:", "Abstraktes Gemälde:", "Hintergrundbild:" },
		{ "schwarzes", "weißes", "graues", "rotes", "oranges", "gelbes", "grünes", "türkises", "blaues", "violettes",
		  "rosafarbenes", "braunes" },
		{ "schwarzem", "weißem", "grauem", "rotem", "orangem", "gelbem", "grünem", "türkisem", "blauem", "violettem",
		  "rosafarbenem", "braunem" },
		{ "Oval", "Dreieck", "Viereck", "Fünfeck", "Sechseck" },
		{ "oben links", "oben", "oben rechts", "links", "in der Mitte", "rechts", "unten links", "unten", "unten rechts" },
		"ein $0 $1 $2", ", ", " und ", "$0 $1 vor $2 Hintergrund", "Was ist auf diesem Bild zu sehen?",
	},
	[SYNTH_FRENCH] = {
		{ "Photo :", "Image :", "Affiche :", "Illustration :", "Peinture abstraite :", "Fond d'écran :" },
		{ "noir", "blanc", "gris", "rouge", "orange", "jaune", "vert", "turquoise", "bleu", "violet", "rose", "marron" },
		{ "noir", "blanc", "gris", "rouge", "orange", "jaune", "vert", "turquoise", "bleu", "violet", "rose", "marron" },
		{ "ovale", "triangle", "quadrilatère", "pentagone", "hexagone" },
		{ "en haut à gauche", "en haut", "en haut à droite", "à gauche", "au milieu", "à droite", "en bas à gauche",
		  "en bas", "en bas à droite" },
		"un $1 $0 $2", ", ", " et ", "$0 $1 sur fond $2", "Que voit-on sur cette image ?",
	},
};

enum synth_language synth_language(struct synth_dice *d)
{
	uint32_t share = synth_below(d, 20);

	if (share < 13)
		return SYNTH_ENGLISH;
	if (share < 16)
		return SYNTH_CHINESE;
	return share < 18 ? SYNTH_ARABIC : share < 19 ? SYNTH_GERMAN : SYNTH_FRENCH;
}

static int third(int32_t at)
{
	return at < 341 ? 0 : at < 683 ? 1 : 2;
}

static const char *place_of(const struct grammar *g, const struct synth_shape *shape)
{
	return g->places[3 * third(shape->cy) + third(shape->cx)];
}

static void say_item(struct synth_text *t, const struct grammar *g, const struct synth_shape *shape)
{
	const char *const args[10] = { g->colours[shape->colour], g->forms[shape->form], place_of(g, shape) };

	synth_expand(t, g->item, args);
}

/* Two leads are kept for copies, so that a copy never has its original's caption. */
void synth_caption(struct synth_text *t, const struct synth_scene *scene, enum synth_language language, bool copy,
    struct synth_dice *d)
{
	const struct grammar *g = &grammars[language];
	struct synth_text items;
	const char *args[10] = { g->leads[copy ? COPY_LEAD + synth_below(d, LEADS - COPY_LEAD) : synth_below(d, COPY_LEAD)], NULL, g->grounds[scene->ground] };
	unsigned first = synth_below(d, scene->nshapes);

	synth_text_init(&items);
	for (unsigned i = 0; i < SYNTH_DESCRIBED; i++) {
		if (i > 0)
			synth_say(&items, i + 1 < SYNTH_DESCRIBED ? g->comma : g->last);
		say_item(&items, g, &scene->shapes[(first + i) % scene->nshapes]);
	}
	args[1] = synth_text_string(&items);
	synth_expand(t, g->whole, args);
	if (items.st != PL_OK && t->st == PL_OK)
		t->st = synth_text_status(&items, &t->err);
	synth_text_release(&items);
}

const char *synth_caption_question(enum synth_language language)
{
	return grammars[language].question;
}

void synth_question(const struct synth_scene *scene, struct synth_dice *d, struct synth_text *question, struct synth_text *answer)
{
	const struct grammar *g = &grammars[SYNTH_ENGLISH];
	const struct synth_shape *shape = &scene->shapes[synth_below(d, scene->nshapes)];
	const char *colour = strchr(g->colours[shape->colour], ' ') + 1;

	switch (synth_below(d, 3)) {
	case 0:
		synth_say(question, "What colour is the background?");
		synth_sayf(answer, "The background is %s.", strchr(g->grounds[scene->ground], ' ') + 1);
		break;
	case 1:
		synth_say(question, "How many shapes were drawn?");
		synth_sayf(answer, "There are %u shapes, some of them perhaps hidden behind others.", scene->nshapes);
		break;
	default:
		synth_sayf(question, "Where is the %s %s?", colour, g->forms[shape->form]);
		synth_sayf(answer, "The %s %s is %s.", colour, g->forms[shape->form], place_of(g, shape));
		break;
	}
}
