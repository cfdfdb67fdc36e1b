/* SPDX-License-Identifier: Apache-2.0 */
/* The module, its exceptions, and text that may not be UTF-8. */
#include <string.h>

#include "ext.h"

static PyObject *error_class, *damaged_class;

PyObject *ext_raise(enum pl_status status, const struct pl_err *err, PyObject *missing)
{
	char text[2048];
	PyObject *cls = error_class;
	if (status == PL_ERR_NOMEM)
		return PyErr_NoMemory();
	pl_err_format(err, text, sizeof text);
	if ((status == PL_ERR_IO || status == PL_ERR_NOTFOUND) && err->sys_errno != 0) {
		PyObject *message = ext_text(text), *args = message ? Py_BuildValue("iN", err->sys_errno, message) : NULL;
		if (args)
			PyErr_SetObject(PyExc_OSError, args);
		Py_XDECREF(args);
		return NULL;
	}
	if (status == PL_ERR_NOTFOUND)
		cls = missing;
	else if (status == PL_ERR_USAGE)
		cls = PyExc_ValueError;
	else if (status == PL_ERR_INVALID || status == PL_ERR_TRUNCATED)
		cls = damaged_class;
	PyObject *message = ext_text(text);
	if (message)
		PyErr_SetObject(cls, message);
	Py_XDECREF(message);
	return NULL;
}

PyObject *ext_text(const char *bytes)
{
	return PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)strlen(bytes), "surrogateescape");
}

PyObject *ext_bytes_of(PyObject *text)
{
	return PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
}

static int add_error(PyObject *module, PyObject **cls, const char *name, const char *doc, PyObject *base)
{
	char full[64];
	PyOS_snprintf(full, sizeof full, "plait.%s", name);
	*cls = PyErr_NewExceptionWithDoc(full, doc, base, NULL);
	if (!*cls)
		return -1;
	Py_INCREF(*cls);
	return PyModule_AddObject(module, name, *cls);
}

static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, "plait._plait", "The C half of plait.", -1, NULL, NULL, NULL, NULL,
	NULL };

PyMODINIT_FUNC PyInit__plait(void);
PyMODINIT_FUNC PyInit__plait(void)
{
	PyObject *module = PyModule_Create(&definition);
	if (!module)
		return NULL;
	if (add_error(module, &error_class, "Error", "What the reader library could not do.", NULL) != 0 ||
	    add_error(module, &damaged_class, "DamagedError",
	        "A shard, or a frame of it, is not as it was written; the text names the samples that are lost.",
	        error_class) != 0 ||
	    ext_add_sample(module) != 0 || ext_add_dataset(module) != 0 || ext_add_loader(module) != 0 ||
	    ext_add_image(module) != 0) {
		Py_DECREF(module);
		return NULL;
	}
	return module;
}
