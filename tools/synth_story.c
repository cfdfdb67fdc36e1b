/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences for documents: people who do things with numbers of things at
 * places, in English, Chinese and Arabic. The numbers keep texts apart. */
#include "synth.h"

#include <stdio.h>

enum { WORDS = 16, SENTENCES = 5 };

/* $0 when, $1 who, $2 a number, $3 things, $4 where, $5 another number */
struct story {
	const char *when[WORDS], *who[WORDS], *things[WORDS], *where[WORDS];
	const char *sentences[SENTENCES];
	const char *end;   /* between sentences of a text */
};

static const struct story stories[] = {
	[SYNTH_ENGLISH] = {
		{ "On Monday", "Last winter", "Before sunrise", "In the evening", "After the storm", "That summer", "Two days later",
		  "At noon", "During the fair", "Late at night", "In early spring", "After lunch", "On the last day", "By Friday",
		  "At the end of the year", "In the meantime" },
		{ "the baker", "a young engineer", "the harbour master", "our neighbour", "the librarian", "a tired courier",
		  "the gardener", "the museum's guide", "a retired teacher", "the watchmaker", "the mayor", "a visiting painter",
		  "the ferry's captain", "the carpenter", "the botanist", "an apprentice" },
		{ "wooden boxes", "old maps", "glass bottles", "bicycles", "letters", "paper lanterns", "clay bricks", "apple trees",
		  "silver coins", "photographs", "woollen coats", "kites", "brass bells", "notebooks", "barrels", "tin soldiers" },
		{ "near the harbour", "behind the station", "in the old mill", "at the market", "under the bridge", "in the attic",
		  "on the island", "beside the canal", "at the edge of the forest", "in the courtyard", "on the north wall",
		  "in the cellar", "outside the gates", "along the river", "at the observatory", "in the greenhouse" },
		{ "$0 $1 counted $2 $3 $4.", "$0 nobody knew why $1 had left $2 $3 $4.",
		  "$0 $1 said that $2 of the $5 $3 $4 were missing.", "$0 it took $1 $5 minutes to carry $2 $3 away; they lay $4.",
		  "$0 there were $2 $3 $4, and $1 wanted $5 more." },
		" ",
	},
	[SYNTH_CHINESE] = {
		{ "星期一", "去年冬天", "日出之前", "晚上", "暴风雨之后", "那年夏天", "两天以后", "中午", "集市期间", "深夜", "初春",
		  "午饭后", "最后一天", "到了星期五", "年底", "与此同时" },
		{ "面包师", "年轻的工程师", "港务长", "我们的邻居", "图书管理员", "疲倦的信使", "园丁", "博物馆的向导", "退休的老师",
		  "钟表匠", "市长", "来访的画家", "船长", "木匠", "植物学家", "学徒" },
		{ "木箱", "旧地图", "玻璃瓶", "自行车", "信", "纸灯笼", "砖头", "苹果树", "银币", "照片", "毛大衣", "风筝", "铜铃",
		  "笔记本", "木桶", "锡兵" },
		{ "港口附近", "车站后面", "旧磨坊里", "市场上", "桥下", "阁楼里", "岛上", "运河边", "森林边上", "院子里", "北墙上",
		  "地下室里", "城门外", "河边", "天文台", "温室里" },
		{ "$0，$1在$4数了$2个$3。", "$0，没有人知道为什么$1把$2个$3留在$4。", "$1说，$4的$5个$3少了$2个。",
		  "$1用了$5个小时才把$4的$2个$3搬走。", "$0，$4有$2个$3，$1还想要$5个。" },
		"",
	},
	[SYNTH_ARABIC] = {
		{ "يوم الاثنين", "في الشتاء الماضي", "قبل شروق الشمس", "في المساء", "بعد العاصفة", "في ذلك الصيف", "بعد يومين",
		  "عند الظهر", "أثناء المعرض", "في ساعة متأخرة", "في أول الربيع", "بعد الغداء", "في اليوم الأخير", "يوم الجمعة",
		  "في نهاية العام", "في تلك الأثناء" },
		{ "الخباز", "المهندس الشاب", "مدير الميناء", "جارنا", "أمين المكتبة", "الساعي المتعب", "البستاني", "دليل المتحف",
		  "المعلم المتقاعد", "الساعاتي", "العمدة", "الرسام الزائر", "القبطان", "النجار", "عالم النبات", "المتدرب" },
		{ "صناديق خشبية", "خرائط قديمة", "زجاجات", "دراجات", "رسائل", "فوانيس ورقية", "أحجار", "أشجار تفاح", "عملات فضية",
		  "صور", "معاطف", "طائرات ورقية", "أجراس", "دفاتر", "براميل", "جنود من قصدير" },
		{ "قرب الميناء", "خلف المحطة", "في الطاحونة القديمة", "في السوق", "تحت الجسر", "في العلية", "على الجزيرة",
		  "بجانب القناة", "على طرف الغابة", "في الفناء", "على الجدار الشمالي", "في القبو", "خارج البوابة", "على ضفة النهر",
		  "عند المرصد", "في البيت الزجاجي" },
		{ "$0 عدّ $1 ما يلي $4: $3، وعددها $2.", "$0 لم يعرف أحد لماذا ترك $1 $3 $4، وعددها $2.",
		  "قال $1 إن $2 من أصل $5 ($3) مفقودة $4.", "احتاج $1 إلى $5 ساعة لنقل $3 $4، وعددها $2.",
		  "$0 كانت $4 $3 وعددها $2، وأراد $1 أن يزيدها $5." },
		" ",
	},
};

enum synth_language synth_story_language(struct synth_dice *d)
{
	uint32_t share = synth_below(d, 20);

	return share < 15 ? SYNTH_ENGLISH : share < 18 ? SYNTH_CHINESE : SYNTH_ARABIC;
}

void synth_sentence(struct synth_text *t, enum synth_language language, struct synth_dice *d)
{
	const struct story *s = &stories[language];
	char number[12], other[12];
	const char *args[10] = { 0 };

	snprintf(number, sizeof(number), "%u", 2 + synth_below(d, 998));
	snprintf(other, sizeof(other), "%u", 3 + synth_below(d, 9997));
	args[0] = s->when[synth_below(d, WORDS)];
	args[1] = s->who[synth_below(d, WORDS)];
	args[2] = number;
	args[3] = s->things[synth_below(d, WORDS)];
	args[4] = s->where[synth_below(d, WORDS)];
	args[5] = other;
	if (t->buf.len > 0)
		synth_say(t, s->end);
	synth_expand(t, s->sentences[synth_below(d, SENTENCES)], args);
}
