/* SPDX-License-Identifier: Apache-2.0 */
/* The C half of the Python package: thin objects over the reader library, on
 * the stable ABI of Python 3.9. What is convenient is added in Python. */
#ifndef PLAIT_EXT_H
#define PLAIT_EXT_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>
#include <structmember.h>

#include <shards/reader/dataset.h>

/* Python's slots hold functions as void *. */
#pragma GCC diagnostic ignored "-Wpedantic"

/* One sample, as Python sees it. Python's own class derives from this one. */
struct ext_sample {
	PyObject_HEAD
	PyObject *key, *parts;      /* str; dict of bytes by suffix */
	PyObject *pixels;           /* set by Python; None at first */
	PyObject *document;         /* the same */
	unsigned long long index, position;
	unsigned int shard, first_image, images;
};
struct ext_dataset {
	PyObject_HEAD
	struct shard_dataset *d;
	PyTypeObject *sample_class;
	struct shard_cursor_options options;
	int pid;                    /* of the process that opened the cursors */
	struct shard_cursor *idle[8];
	unsigned nidle;
	PyThread_type_lock finding; /* guards finder */
	struct shard_cursor *finder;
};

extern PyTypeObject *ext_sample_type, *ext_dataset_type;

/* Sets the exception for a status that is not PL_OK; missing: the class for PL_ERR_NOTFOUND. Returns NULL. */
PyObject *ext_raise(enum pl_status status, const struct pl_err *err, PyObject *missing);
/* A str of bytes that may not be UTF-8 ("surrogateescape"), and back as a new bytes object. */
PyObject *ext_text(const char *bytes);
PyObject *ext_bytes_of(PyObject *text);
/* A sample of class cls. leave_images: parts that are images by their suffix are left out. */
struct ext_sample *ext_sample_make(PyTypeObject *cls, const struct shard_sample *from, bool leave_images);

/* Add the types and functions of one file to the module; -1 with an exception set. */
int ext_add_sample(PyObject *module);
int ext_add_dataset(PyObject *module);
int ext_add_loader(PyObject *module);
int ext_add_image(PyObject *module);

#endif
