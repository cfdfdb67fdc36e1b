/* SPDX-License-Identifier: Apache-2.0 */
/* One image at a time, and the order of an epoch as numbers. */
#include <stdlib.h>

#include <shards/reader/image.h>
#include <shards/reader/order.h>

#include "ext.h"

static bool parse_image(PyObject *args, const char **data, Py_ssize_t *len, struct shard_image_options *o)
{
	PyObject *bytes;
	int fit, filter;
	unsigned int width, height, scale;
	unsigned long long max_pixels;
	if (!PyArg_ParseTuple(args, "O!iIIiIK", &PyBytes_Type, &bytes, &fit, &width, &height, &filter, &scale, &max_pixels))
		return false;
	*data = PyBytes_AsString(bytes);
	*len = PyBytes_Size(bytes);
	*o = (struct shard_image_options){ .fit = (enum shard_fit)fit, .width = width, .height = height,
		.filter = (enum shard_filter)filter, .decode_scale = scale, .max_pixels = max_pixels };
	return *data != NULL;
}

static PyObject *image_decode(PyObject *module, PyObject *args)
{
	struct shard_image_options o;
	struct pl_err err;
	const char *data;
	Py_ssize_t len;
	uint32_t w = 0, h = 0;
	(void)module;
	if (!parse_image(args, &data, &len, &o))
		return NULL;
	enum pl_status status = shard_image_size(data, (size_t)len, &o, &w, &h, &err);
	if (status != PL_OK)
		return ext_raise(status, &err, PyExc_ValueError);
	PyObject *out = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)h * (Py_ssize_t)w * 3);
	char *dst = out ? PyByteArray_AsString(out) : NULL;
	if (!dst)
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	status = shard_image_decode(data, (size_t)len, &o, dst, (size_t)w * 3, (size_t)h * w * 3, &err);
	Py_END_ALLOW_THREADS
	if (status == PL_OK)
		return Py_BuildValue("NII", out, (unsigned)w, (unsigned)h);
	Py_DECREF(out);
	return ext_raise(status, &err, PyExc_ValueError);
}

static PyObject *image_size(PyObject *module, PyObject *args)
{
	struct shard_image_options o;
	struct pl_err err;
	const char *data;
	Py_ssize_t len;
	uint32_t w = 0, h = 0;
	(void)module;
	if (!parse_image(args, &data, &len, &o))
		return NULL;
	enum pl_status status = shard_image_size(data, (size_t)len, &o, &w, &h, &err);
	return status == PL_OK ? Py_BuildValue("II", (unsigned)w, (unsigned)h) : ext_raise(status, &err, PyExc_ValueError);
}

static PyObject *order_list(const struct shard_order *o, uint64_t position, size_t count)
{
	uint64_t *samples = calloc(count ? count : 1, sizeof *samples);
	if (!samples)
		return PyErr_NoMemory();
	shard_order_range(o, position, count, samples);
	PyObject *list = PyList_New((Py_ssize_t)count);
	for (size_t i = 0; list && i < count; i++) {
		PyObject *number = PyLong_FromUnsignedLongLong(samples[i]);
		if (!number || PyList_SetItem(list, (Py_ssize_t)i, number) != 0)
			Py_CLEAR(list);
	}
	free(samples);
	return list;
}

static PyObject *order(PyObject *module, PyObject *args)
{
	struct shard_order o = { 0 };
	struct pl_err err;
	unsigned long long n, block, stride, seed, epoch, position, count;
	unsigned int window, lanes;
	(void)module;
	if (!PyArg_ParseTuple(args, "KKIIKKKKK", &n, &block, &window, &lanes, &stride, &seed, &epoch, &position, &count))
		return NULL;
	o.n = n;
	o.block = block;
	o.window = window;
	o.lanes = lanes;
	o.stride = stride;
	o.seed = seed;
	o.epoch = epoch;
	enum pl_status status = shard_order_init(&o, &err);
	if (status != PL_OK)
		return ext_raise(status, &err, PyExc_ValueError);
	if (position > n || count > n - position) {
		PyErr_SetString(PyExc_ValueError, "positions past the end of the epoch");
		return NULL;
	}
	return order_list(&o, position, (size_t)count);
}

static PyObject *status_name(PyObject *module, PyObject *args)
{
	int status;
	(void)module;
	return PyArg_ParseTuple(args, "i", &status) ? ext_text(pl_status_name((enum pl_status)status)) : NULL;
}

static PyMethodDef functions[] = {
	{ "decode", image_decode, METH_VARARGS, "decode(bytes, fit, width, height, filter, scale, max_pixels): (RGB, width, height)" },
	{ "image_size", image_size, METH_VARARGS, "the size that decode gives" },
	{ "order", order, METH_VARARGS, "order(n, block, window, lanes, stride, seed, epoch, position, count): sample numbers" },
	{ "status_name", status_name, METH_VARARGS, "the word for a status of the reader library" },
	{ NULL, NULL, 0, NULL }
};

int ext_add_image(PyObject *module)
{
	return PyModule_AddFunctions(module, functions) == 0 && PyModule_AddIntConstant(module, "WINDOW", SHARD_ORDER_WINDOW) == 0 ? 0 : -1;
}
