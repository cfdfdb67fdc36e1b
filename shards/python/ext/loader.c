/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of an epoch. A loader lives in the process that made it: elsewhere
 * its threads do not exist, and it is neither used nor closed. */
#include <string.h>
#include <unistd.h>

#include <shards/reader/loader.h>

#include "ext.h"

/* What outlives the loader for those that have pixels of it: where they go back to, while it is there. */
struct home {
	struct shard_loader *l;     /* NULL: closed */
	int pid;
	unsigned users;
};
/* Pixels of a batch, the reader's own memory. NumPy makes an array of it, which keeps it. */
struct ext_pixels {
	PyObject_HEAD
	struct home *home;
	uint8_t *data;
	size_t images;
	unsigned height, width;
};
struct ext_loader {
	PyObject_HEAD
	struct shard_loader *l;
	struct home *home;
	struct ext_dataset *dataset;
	struct shard_loader_options options;
	int pid;
	bool leave_images;
	bool busy;                  /* one thread at a time */
};

static PyTypeObject *pixels_type;   /* made only here: it is not in the module */

static bool usable(const struct ext_loader *self)
{
	if (self->busy)
		PyErr_SetString(PyExc_RuntimeError, "another thread is reading from this pass");
	else if (!self->l)
		PyErr_SetString(PyExc_RuntimeError, "the pass is closed");
	else if (self->pid != (int)getpid())
		PyErr_SetString(PyExc_RuntimeError, "a pass belongs to the process that began it");
	else
		return true;
	return false;
}

static PyObject *batch_samples(const struct ext_loader *self, const struct shard_batch *b)
{
	PyObject *list = PyList_New((Py_ssize_t)b->n);
	for (size_t i = 0; list && i < b->n; i++) {
		const struct shard_batch_sample *from = &b->samples[i];
		struct ext_sample *s = ext_sample_make(self->dataset->sample_class, &from->sample, self->leave_images);
		if (!s || PyList_SetItem(list, (Py_ssize_t)i, (PyObject *)s) != 0) {
			Py_DECREF(list);
			return NULL;
		}
		s->position = from->position;
		s->shard = from->shard;
		s->first_image = from->first_image;
		s->images = from->images;
	}
	return list;
}

static void leave_home(struct home *home)
{
	if (home && --home->users == 0)
		PyMem_Free(home);
}

static void pixels_dealloc(PyObject *object)
{
	struct ext_pixels *self = (struct ext_pixels *)object;
	PyTypeObject *type = Py_TYPE(object);
	if (self->home && self->home->l && self->home->pid == (int)getpid())
		shard_pixels_return(self->home->l, self->data);
	else
		shard_pixels_free(self->data);
	leave_home(self->home);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

static PyObject *pixels_interface(PyObject *object, void *unused)
{
	const struct ext_pixels *self = (const struct ext_pixels *)object;
	(void)unused;
	return Py_BuildValue("{s:i,s:(nIIi),s:s,s:(NO)}", "version", 3, "shape", (Py_ssize_t)self->images, self->height, self->width, 3,
	    "typestr", "|u1", "data", PyLong_FromVoidPtr(self->data), Py_False);
}

/* The batch's pixels, taken from it, and the status of each image. */
static PyObject *batch_pixels(const struct ext_loader *self, const struct shard_batch *b, PyObject **statuses)
{
	PyObject *out = ((allocfunc)PyType_GetSlot(pixels_type, Py_tp_alloc))(pixels_type, 0);
	*statuses = out ? PyList_New((Py_ssize_t)b->images) : NULL;
	if (!*statuses) {
		Py_XDECREF(out);
		return NULL;
	}
	struct ext_pixels *pixels = (struct ext_pixels *)out;
	pixels->images = b->images;
	pixels->width = self->options.image.width;
	pixels->height = self->options.image.height;
	pixels->data = shard_batch_take_pixels(self->l, b);
	pixels->home = self->home;
	self->home->users++;
	for (size_t i = 0; i < b->images; i++)
		if (PyList_SetItem(*statuses, (Py_ssize_t)i, PyLong_FromLong((long)b->image_status[i])) != 0) {
			Py_DECREF(out);
			Py_CLEAR(*statuses);
			return NULL;
		}
	return out;
}

static PyObject *batch_make(const struct ext_loader *self, const struct shard_batch *b)
{
	PyObject *pixels = Py_None, *statuses = Py_None, *samples = batch_samples(self, b);
	if (!samples)
		return NULL;
	if (self->options.decode != SHARD_DECODE_NONE) {
		pixels = batch_pixels(self, b, &statuses);
		if (!pixels) {
			Py_DECREF(samples);
			return NULL;
		}
	} else {
		Py_INCREF(pixels);
		Py_INCREF(statuses);
	}
	return Py_BuildValue("NKKKKNN", samples, (unsigned long long)b->number, (unsigned long long)b->position,
	    (unsigned long long)b->end, (unsigned long long)b->skipped, pixels, statuses);
}

static PyObject *loader_next(PyObject *object, PyObject *unused)
{
	struct ext_loader *self = (struct ext_loader *)object;
	const struct shard_batch *b = NULL;
	PyObject *out = NULL;
	struct pl_err err;
	enum pl_status status;
	(void)unused;
	if (!usable(self))
		return NULL;
	self->busy = true;
	Py_BEGIN_ALLOW_THREADS
	status = shard_loader_next(self->l, &b, &err);
	Py_END_ALLOW_THREADS
	if (status == PL_OK) {
		out = batch_make(self, b);
		shard_batch_release(self->l, b);
	} else if (status == PL_END) {
		out = Py_None;
		Py_INCREF(out);
	} else {
		ext_raise(status, &err, PyExc_FileNotFoundError);
	}
	self->busy = false;
	return out;
}

static void stop(struct ext_loader *self)
{
	struct shard_loader *l = self->l;
	self->l = NULL;
	if (self->home)
		self->home->l = NULL;
	if (l && self->pid == (int)getpid())
		shard_loader_close(l);
}

static PyObject *loader_close(PyObject *object, PyObject *unused)
{
	struct ext_loader *self = (struct ext_loader *)object;
	(void)unused;
	if (self->busy)
		return PyErr_Format(PyExc_RuntimeError, "another thread is reading from this pass");
	stop(self);
	Py_RETURN_NONE;
}

static PyObject *loader_batches(PyObject *object, PyObject *unused)
{
	struct ext_loader *self = (struct ext_loader *)object;
	(void)unused;
	return usable(self) ? PyLong_FromUnsignedLongLong(shard_loader_batches(self->l)) : NULL;
}

static PyObject *loader_order(PyObject *object, PyObject *unused)
{
	struct ext_loader *self = (struct ext_loader *)object;
	(void)unused;
	if (!usable(self))
		return NULL;
	const struct shard_order *o = shard_loader_order(self->l);
	return Py_BuildValue("{sKsKsIsIsK}", "samples", (unsigned long long)o->n, "block", (unsigned long long)o->block, "window",
	    (unsigned)o->window, "lanes", (unsigned)o->lanes, "stride", (unsigned long long)o->stride);
}

static PyObject *loader_stats(PyObject *object, PyObject *unused)
{
	struct ext_loader *self = (struct ext_loader *)object;
	(void)unused;
	if (!usable(self))
		return NULL;
	struct shard_loader_stats s = shard_loader_stats(self->l);
	return Py_BuildValue("{sKsKsKsKsKsKsKsKsKsKsK}", "samples", (unsigned long long)s.samples, "images",
	    (unsigned long long)s.images, "skipped_samples", (unsigned long long)s.skipped_samples, "skipped_frames",
	    (unsigned long long)s.skipped_frames, "skipped_shards", (unsigned long long)s.skipped_shards, "bad_images",
	    (unsigned long long)s.bad_images, "frames", (unsigned long long)s.frames, "frame_bytes",
	    (unsigned long long)s.frame_bytes, "file_bytes", (unsigned long long)s.file_bytes, "memory",
	    (unsigned long long)s.memory, "memory_most", (unsigned long long)s.memory_most);
}

static PyObject *loader_damage(PyObject *object, PyObject *unused)
{
	struct ext_loader *self = (struct ext_loader *)object;
	struct pl_err err;
	char text[2048];
	(void)unused;
	if (!usable(self))
		return NULL;
	if (shard_loader_damage(self->l, &err) == PL_OK)
		Py_RETURN_NONE;
	return ext_text(pl_err_format(&err, text, sizeof text));
}

static bool parse_options(struct ext_loader *self, PyObject *args, PyObject *kwargs, PyObject **dataset)
{
	static char *names[] = { "dataset", "seed", "epoch", "position", "batch", "drop_last", "rank", "world", "worker", "workers",
		"shuffle", "block", "window", "lanes", "threads", "memory", "max_open", "skip", "ahead", "decode", "fit", "width",
		"height", "filter", "scale", "max_pixels", "leave_images", NULL };
	unsigned long long seed, epoch, position, batch, block = 0, memory = 0, max_pixels = 0;
	unsigned int rank, world, worker, workers, window = 0, lanes = 0, threads = 0, max_open = 0, ahead = 0, width = 0, height = 0,
	    scale = 0;
	int drop_last, shuffle, skip = 0, decode = 0, fit = 0, filter = 0, leave_images = 0;
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!KKKKpIIIIp|$KIIIKIpIiiIIiIKp", names, ext_dataset_type, dataset, &seed,
		&epoch, &position, &batch, &drop_last, &rank, &world, &worker, &workers, &shuffle, &block, &window, &lanes, &threads,
		&memory, &max_open, &skip, &ahead, &decode, &fit, &width, &height, &filter, &scale, &max_pixels, &leave_images))
		return false;
	self->options = (struct shard_loader_options){ .seed = seed, .epoch = epoch, .position = position, .batch = batch,
		.drop_last = drop_last != 0, .rank = rank, .world = world, .worker = worker, .workers = workers,
		.shuffle = shuffle ? SHARD_SHUFFLE_BLOCKS : SHARD_SHUFFLE_NONE, .block = block, .window = window, .lanes = lanes,
		.threads = threads, .memory = memory, .max_open = max_open,
		.on_damage = skip ? SHARD_DAMAGE_SKIP : SHARD_DAMAGE_RAISE, .ahead = ahead, .decode = (enum shard_decode)decode,
		.image = { .fit = (enum shard_fit)fit, .width = width, .height = height, .filter = (enum shard_filter)filter,
		    .decode_scale = scale, .max_pixels = max_pixels } };
	self->leave_images = leave_images != 0;
	return true;
}

static int loader_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
	struct ext_loader *self = (struct ext_loader *)object;
	PyObject *dataset;
	struct pl_err err;
	enum pl_status status;
	if (self->dataset || !parse_options(self, args, kwargs, &dataset))
		return -1;
	self->home = PyMem_Calloc(1, sizeof *self->home);
	if (!self->home) {
		PyErr_NoMemory();
		return -1;
	}
	self->pid = (int)getpid();
	*self->home = (struct home){ .pid = self->pid, .users = 1 };
	Py_INCREF(dataset);
	self->dataset = (struct ext_dataset *)dataset;
	Py_BEGIN_ALLOW_THREADS
	status = shard_loader_open(&self->l, self->dataset->d, &self->options, &err);
	Py_END_ALLOW_THREADS
	if (status == PL_OK) {
		self->home->l = self->l;
		return 0;
	}
	self->l = NULL;
	ext_raise(status, &err, PyExc_FileNotFoundError);
	return -1;
}

static void loader_dealloc(PyObject *object)
{
	struct ext_loader *self = (struct ext_loader *)object;
	PyTypeObject *type = Py_TYPE(object);
	stop(self);
	leave_home(self->home);
	Py_XDECREF(self->dataset);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
	Py_DECREF(type);
}

static PyMethodDef loader_methods[] = {
	{ "next", loader_next, METH_NOARGS, "next(): (samples, number, position, end, skipped, pixels, statuses), or None" },
	{ "close", loader_close, METH_NOARGS, "close(): stop the threads" },
	{ "batches", loader_batches, METH_NOARGS, "batches(): how many next() gives in all" },
	{ "order", loader_order, METH_NOARGS, "order(): the settings in use" },
	{ "stats", loader_stats, METH_NOARGS, "stats(): counts so far" },
	{ "damage", loader_damage, METH_NOARGS, "damage(): the first damage that was skipped, or None" },
	{ NULL, NULL, 0, NULL }
};
static PyType_Slot loader_slots[] = {
	{ Py_tp_doc, "One pass over a data set." },
	{ Py_tp_init, loader_init },
	{ Py_tp_dealloc, loader_dealloc },
	{ Py_tp_methods, loader_methods },
	{ 0, NULL }
};
static PyType_Spec loader_spec = { "plait._plait.Loader", sizeof(struct ext_loader), 0, Py_TPFLAGS_DEFAULT, loader_slots };

static PyGetSetDef pixels_members[] = {
	{ "__array_interface__", pixels_interface, NULL, "for numpy.asarray", NULL },
	{ NULL, NULL, NULL, NULL, NULL }
};
static PyType_Slot pixels_slots[] = {
	{ Py_tp_doc, "Pixels of a batch: [images, height, width, 3]." },
	{ Py_tp_dealloc, pixels_dealloc },
	{ Py_tp_getset, pixels_members },
	{ 0, NULL }
};
static PyType_Spec pixels_spec = { "plait._plait.Pixels", sizeof(struct ext_pixels), 0, Py_TPFLAGS_DEFAULT, pixels_slots };

int ext_add_loader(PyObject *module)
{
	pixels_type = (PyTypeObject *)PyType_FromSpec(&pixels_spec);
	if (!pixels_type)
		return -1;
	PyObject *type = PyType_FromSpec(&loader_spec);
	return type ? PyModule_AddObject(module, "Loader", type) : -1;
}
