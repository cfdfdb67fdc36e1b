/* SPDX-License-Identifier: Apache-2.0 */
/* A data set that any number of threads read from: each read takes an idle
 * cursor or opens one. Cursors are made anew behind a fork. */
#include <string.h>
#include <unistd.h>

#include <shards/reader/order.h>

#include "ext.h"

PyTypeObject *ext_dataset_type;

static void drop_cursors(struct ext_dataset *self)
{
	while (self->nidle > 0)
		shard_cursor_close(self->idle[--self->nidle]);
}

/* Behind a fork: the finder may be in use by a thread that is not here, so it is left alone. */
static bool check_process(struct ext_dataset *self)
{
	int pid = (int)getpid();
	if (pid == self->pid)
		return true;
	PyThread_type_lock lock = PyThread_allocate_lock();
	if (!lock) {
		PyErr_NoMemory();
		return false;
	}
	drop_cursors(self);
	self->finder = NULL;
	self->finding = lock;
	self->pid = pid;
	return true;
}

static struct shard_cursor *take_cursor(struct ext_dataset *self)
{
	struct shard_cursor *c = NULL;
	struct pl_err err;
	if (!check_process(self))
		return NULL;
	if (self->nidle > 0)
		return self->idle[--self->nidle];
	enum pl_status status = shard_cursor_open(&c, self->d, &self->options, &err);
	if (status == PL_OK)
		return c;
	ext_raise(status, &err, PyExc_FileNotFoundError);
	return NULL;
}

static void give_cursor(struct ext_dataset *self, struct shard_cursor *c)
{
	if (self->nidle < sizeof self->idle / sizeof self->idle[0])
		self->idle[self->nidle++] = c;
	else
		shard_cursor_close(c);
}

static PyObject *dataset_read(PyObject *object, PyObject *args)
{
	struct ext_dataset *self = (struct ext_dataset *)object;
	struct shard_sample sample;
	struct ext_sample *out = NULL;
	struct pl_err err;
	unsigned long long i;
	int leave_images = 0;
	enum pl_status status;
	if (!PyArg_ParseTuple(args, "K|p", &i, &leave_images))
		return NULL;
	struct shard_cursor *c = take_cursor(self);
	if (!c)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	status = shard_cursor_read(c, i, &sample, &err);
	Py_END_ALLOW_THREADS
	if (status == PL_OK) {
		out = ext_sample_make(self->sample_class, &sample, leave_images != 0);
		if (out) {
			out->position = i;
			out->shard = (unsigned)shard_dataset_locate(self->d, i);
		}
	} else {
		ext_raise(status, &err, PyExc_IndexError);
	}
	give_cursor(self, c);
	return (PyObject *)out;
}

static PyObject *dataset_find(PyObject *object, PyObject *key)
{
	struct ext_dataset *self = (struct ext_dataset *)object;
	struct pl_err err;
	uint64_t i = 0;
	enum pl_status status = PL_OK;
	PyObject *bytes = check_process(self) ? ext_bytes_of(key) : NULL;
	const char *text = bytes ? PyBytes_AsString(bytes) : NULL;
	if (!text) {
		Py_XDECREF(bytes);
		return NULL;
	}
	Py_BEGIN_ALLOW_THREADS
	(void)PyThread_acquire_lock(self->finding, WAIT_LOCK);
	if (!self->finder)
		status = shard_cursor_open(&self->finder, self->d, &self->options, &err);
	if (status == PL_OK)
		status = shard_cursor_find(self->finder, text, &i, &err);
	PyThread_release_lock(self->finding);
	Py_END_ALLOW_THREADS
	Py_DECREF(bytes);
	if (status == PL_OK)
		return PyLong_FromUnsignedLongLong(i);
	if (status == PL_ERR_NOTFOUND && err.sys_errno == 0) {
		PyErr_SetObject(PyExc_KeyError, key);
		return NULL;
	}
	return ext_raise(status, &err, PyExc_KeyError);
}

static PyObject *dataset_count(PyObject *object, PyObject *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(shard_dataset_count(((struct ext_dataset *)object)->d));
}

static PyObject *dataset_shards(PyObject *object, PyObject *unused)
{
	const struct shard_dataset *d = ((struct ext_dataset *)object)->d;
	size_t n = shard_dataset_shards(d);
	PyObject *list = PyList_New((Py_ssize_t)n);
	(void)unused;
	for (size_t k = 0; list && k < n; k++) {
		struct shard_dataset_shard s = shard_dataset_shard(d, k);
		PyObject *row = Py_BuildValue("NKKKKK", ext_text(s.path), (unsigned long long)s.first, (unsigned long long)s.samples,
		    (unsigned long long)s.images, (unsigned long long)s.tokens, (unsigned long long)s.bytes);
		if (!row || PyList_SetItem(list, (Py_ssize_t)k, row) != 0) {
			Py_DECREF(list);
			return NULL;
		}
	}
	return list;
}

static PyObject *dataset_digest(PyObject *object, PyObject *unused)
{
	uint64_t hash[2];
	char text[33];
	(void)unused;
	shard_dataset_digest(((struct ext_dataset *)object)->d, hash);
	PyOS_snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)hash[0], (unsigned long long)hash[1]);
	return PyUnicode_FromString(text);
}

static PyObject *dataset_json(PyObject *object, PyObject *unused)
{
	size_t len = 0;
	const char *text = shard_dataset_json(((struct ext_dataset *)object)->d, &len);
	(void)unused;
	if (!text)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize(text, (Py_ssize_t)len);
}

/* Samples of a block of the order, where none is asked for. */
static PyObject *dataset_block(PyObject *object, PyObject *unused)
{
	const struct shard_dataset *d = ((struct ext_dataset *)object)->d;
	struct pl_err err;
	uint64_t bytes = 0;
	enum pl_status status;
	(void)unused;
	Py_BEGIN_ALLOW_THREADS
	status = shard_dataset_sample_bytes(d, &bytes, &err);
	Py_END_ALLOW_THREADS
	if (status != PL_OK)
		return ext_raise(status, &err, PyExc_FileNotFoundError);
	return PyLong_FromUnsignedLongLong(shard_order_block(bytes));
}

/* The paths of a list of str, as bytes objects in *kept and pointers to them. */
static const char **list_paths(PyObject *list, PyObject **kept)
{
	Py_ssize_t n = PyList_Size(list);
	const char **paths = PyMem_Calloc(n > 0 ? (size_t)n : 1, sizeof *paths);
	*kept = NULL;
	if (!paths) {
		PyErr_NoMemory();
		return NULL;
	}
	*kept = PyList_New(n);
	for (Py_ssize_t i = 0; *kept && i < n; i++) {
		PyObject *bytes = PyUnicode_EncodeFSDefault(PyList_GetItem(list, i));
		if (!bytes || PyList_SetItem(*kept, i, bytes) != 0 || !(paths[i] = PyBytes_AsString(bytes))) {
			Py_CLEAR(*kept);
			break;
		}
	}
	if (*kept)
		return paths;
	PyMem_Free(paths);
	return NULL;
}

static enum pl_status open_paths(struct ext_dataset *self, const char **paths, size_t n, bool listed, struct pl_err *err)
{
	enum pl_status status;
	Py_BEGIN_ALLOW_THREADS
	status = listed ? shard_dataset_open_shards(&self->d, paths, n, err) : shard_dataset_open(&self->d, paths[0], err);
	Py_END_ALLOW_THREADS
	return status;
}

static int dataset_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "paths", "listed", "sample_class", "cache", "max_open", NULL };
	struct ext_dataset *self = (struct ext_dataset *)object;
	PyObject *list, *cls, *kept = NULL;
	int listed;
	unsigned long long cache = 0;
	unsigned int max_open = 0;
	struct pl_err err;
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!pO!|KI", names, &PyList_Type, &list, &listed, &PyType_Type, &cls, &cache, &max_open))
		return -1;
	if (self->d || PyList_Size(list) < 1 || !PyType_IsSubtype((PyTypeObject *)cls, ext_sample_type)) {
		PyErr_SetString(PyExc_ValueError, "one path or more, and a class of samples");
		return -1;
	}
	const char **paths = list_paths(list, &kept);
	if (!paths)
		return -1;
	self->options = (struct shard_cursor_options){ .cache = cache, .max_open = max_open };
	self->pid = (int)getpid();
	self->finding = PyThread_allocate_lock();
	Py_INCREF(cls);
	self->sample_class = (PyTypeObject *)cls;
	enum pl_status status = PL_ERR_NOMEM;
	if (self->finding)
		status = open_paths(self, paths, (size_t)PyList_Size(kept), listed != 0, &err);
	Py_DECREF(kept);
	PyMem_Free(paths);
	if (status == PL_OK)
		return 0;
	ext_raise(status, &err, PyExc_FileNotFoundError);
	return -1;
}

static void dataset_dealloc(PyObject *object)
{
	struct ext_dataset *self = (struct ext_dataset *)object;
	PyTypeObject *type = Py_TYPE(object);
	drop_cursors(self);
	if (self->pid == (int)getpid()) {
		shard_cursor_close(self->finder);
		if (self->finding)
			PyThread_free_lock(self->finding);
	}
	shard_dataset_close(self->d);
	Py_XDECREF(self->sample_class);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

static PyMethodDef dataset_methods[] = {
	{ "read", dataset_read, METH_VARARGS, "read(number, leave_images=False): a sample" },
	{ "find", dataset_find, METH_O, "find(key): its number" },
	{ "count", dataset_count, METH_NOARGS, "count(): samples" },
	{ "shards", dataset_shards, METH_NOARGS, "shards(): (path, first, samples, images, tokens, bytes) of each" },
	{ "digest", dataset_digest, METH_NOARGS, "digest(): 32 hex digits that tell this data set from others" },
	{ "block", dataset_block, METH_NOARGS, "block(): samples of a block of the order, where none is asked for" },
	{ "json", dataset_json, METH_NOARGS, "json(): the bytes of dataset.json, or None" },
	{ NULL, NULL, 0, NULL }
};
static PyType_Slot dataset_slots[] = {
	{ Py_tp_doc, "An open data set." },
	{ Py_tp_init, dataset_init },
	{ Py_tp_dealloc, dataset_dealloc },
	{ Py_tp_methods, dataset_methods },
	{ 0, NULL }
};
static PyType_Spec dataset_spec = { "plait._plait.Dataset", sizeof(struct ext_dataset), 0, Py_TPFLAGS_DEFAULT, dataset_slots };

int ext_add_dataset(PyObject *module)
{
	ext_dataset_type = (PyTypeObject *)PyType_FromSpec(&dataset_spec);
	if (!ext_dataset_type)
		return -1;
	Py_INCREF(ext_dataset_type);
	return PyModule_AddObject(module, "Dataset", (PyObject *)ext_dataset_type);
}
