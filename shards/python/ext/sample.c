/* SPDX-License-Identifier: Apache-2.0 */
/* Samples: the only object made once per sample, so nothing is looked up
 * that can be kept. */
#include <string.h>
#include <strings.h>

#include "ext.h"

PyTypeObject *ext_sample_type;

static void sample_dealloc(PyObject *self)
{
	struct ext_sample *s = (struct ext_sample *)self;
	PyTypeObject *type = Py_TYPE(self);
	Py_XDECREF(s->key);
	Py_XDECREF(s->parts);
	Py_XDECREF(s->pixels);
	Py_XDECREF(s->document);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
	Py_DECREF(type);
}

static void set(PyObject **member, PyObject *value)
{
	PyObject *old = *member;
	Py_INCREF(value);
	*member = value;
	Py_XDECREF(old);
}

static int sample_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "parts", "index", "position", "shard", "pixels", NULL };
	struct ext_sample *s = (struct ext_sample *)self;
	PyObject *key, *parts, *pixels = Py_None;
	unsigned long long index = 0, position = 0;
	unsigned int shard = 0;
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "UO!|KKIO", names, &key, &PyDict_Type, &parts, &index, &position, &shard,
		&pixels))
		return -1;
	set(&s->key, key);
	set(&s->parts, parts);
	set(&s->pixels, pixels);
	s->index = index;
	s->position = position;
	s->shard = shard;
	return 0;
}

/* Suffixes come again and again. A dozen are kept as str objects; the rest are made each time. */
static PyObject *suffix_text(const char *suffix)
{
	static struct {
		char name[12];
		PyObject *text;
	} kept[12];
	static unsigned n;
	size_t len = strlen(suffix);
	for (unsigned i = 0; i < n; i++)
		if (strcmp(kept[i].name, suffix) == 0) {
			Py_INCREF(kept[i].text);
			return kept[i].text;
		}
	PyObject *text = ext_text(suffix);
	if (text && n < sizeof kept / sizeof kept[0] && len < sizeof kept[0].name) {
		memcpy(kept[n].name, suffix, len + 1);
		Py_INCREF(text);
		kept[n++].text = text;
	}
	return text;
}

static bool is_image(const char *suffix)
{
	static const char *const known[] = { "jpg", "jpeg", "png", "webp", "gif", "bmp", "avif" };
	const char *dot = strrchr(suffix, '.');
	const char *last = dot ? dot + 1 : suffix;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(last, known[i]) == 0)
			return true;
	return false;
}

static int add_part(PyObject *parts, const struct shard_part *part)
{
	PyObject *name = suffix_text(part->suffix), *data = NULL;
	int bad = -1;
	if (name && part->data) {
		data = PyBytes_FromStringAndSize((const char *)part->data, (Py_ssize_t)part->len);
	} else if (name) {
		data = Py_None;
		Py_INCREF(data);
	}
	if (data)
		bad = PyDict_SetItem(parts, name, data);
	Py_XDECREF(name);
	Py_XDECREF(data);
	return bad;
}

struct ext_sample *ext_sample_make(PyTypeObject *cls, const struct shard_sample *from, bool leave_images)
{
	PyObject *key = ext_text(from->key), *parts = key ? PyDict_New() : NULL, *self = NULL;
	if (!parts)
		goto fail;
	for (size_t i = 0; i < from->nparts; i++)
		if (!(leave_images && is_image(from->parts[i].suffix)) && add_part(parts, &from->parts[i]) != 0)
			goto fail;
	self = ((allocfunc)PyType_GetSlot(cls, Py_tp_alloc))(cls, 0);
	if (!self)
		goto fail;
	struct ext_sample *s = (struct ext_sample *)self;
	s->key = key;
	s->parts = parts;
	s->pixels = Py_None;
	Py_INCREF(Py_None);
	s->index = from->index;
	return s;
fail:
	Py_XDECREF(key);
	Py_XDECREF(parts);
	return NULL;
}

static PyMemberDef sample_members[] = {
	{ "key", T_OBJECT, offsetof(struct ext_sample, key), READONLY, "the key, as in the shard" },
	{ "parts", T_OBJECT, offsetof(struct ext_sample, parts), READONLY, "bytes by suffix, in the order of the shard" },
	{ "pixels", T_OBJECT, offsetof(struct ext_sample, pixels), 0, "decoded images, when asked for" },
	{ "_document", T_OBJECT, offsetof(struct ext_sample, document), 0, NULL },
	{ "index", T_ULONGLONG, offsetof(struct ext_sample, index), READONLY, "number in the data set" },
	{ "position", T_ULONGLONG, offsetof(struct ext_sample, position), READONLY, "place in the epoch" },
	{ "shard", T_UINT, offsetof(struct ext_sample, shard), READONLY, "number of its shard" },
	{ "_first_image", T_UINT, offsetof(struct ext_sample, first_image), READONLY, NULL },
	{ "_images", T_UINT, offsetof(struct ext_sample, images), READONLY, NULL },
	{ NULL, 0, 0, 0, NULL }
};
static PyType_Slot sample_slots[] = {
	{ Py_tp_doc, "One sample of a shard." },
	{ Py_tp_init, sample_init },
	{ Py_tp_dealloc, sample_dealloc },
	{ Py_tp_members, sample_members },
	{ 0, NULL }
};
static PyType_Spec sample_spec = { "plait._plait.Sample", sizeof(struct ext_sample), 0,
	Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, sample_slots };

int ext_add_sample(PyObject *module)
{
	ext_sample_type = (PyTypeObject *)PyType_FromSpec(&sample_spec);
	if (!ext_sample_type)
		return -1;
	Py_INCREF(ext_sample_type);
	return PyModule_AddObject(module, "Sample", (PyObject *)ext_sample_type);
}
