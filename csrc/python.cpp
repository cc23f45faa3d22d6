// The Python module (gan_fast._cpu, gan_fast._cuda): one function for each launcher linked in.
//
// A tensor comes as the tuple (address, dtype code, sizes, strides), a list of integers as a list.

#include <pybind11/pybind11.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "launcher.h"

namespace py = pybind11;
using gan_fast::Arg;
using gan_fast::LauncherEntry;

extern "C" {
extern const LauncherEntry* const __start_gan_fast_launchers;
extern const LauncherEntry* const __stop_gan_fast_launchers;
}

namespace {

constexpr int kMaxArgs = 24;
constexpr int kMaxInts = 16;
const char* const kIsaNames[] = {"plain", "avx2", "avx512"};

int64_t integer(PyObject* object) {
  const int64_t value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

void read_tensor(PyObject* tuple, gan_fast::TensorView& view) {
  PyObject* sizes = PyTuple_GET_ITEM(tuple, 2);
  PyObject* strides = PyTuple_GET_ITEM(tuple, 3);
  view.data = PyLong_AsVoidPtr(PyTuple_GET_ITEM(tuple, 0));
  view.dtype = static_cast<gan_fast::DType>(integer(PyTuple_GET_ITEM(tuple, 1)));
  view.ndim = static_cast<int>(PyTuple_GET_SIZE(sizes));
  if (view.ndim > gan_fast::kMaxDims) throw std::invalid_argument("a tensor of more than 8 dimensions");
  for (int i = 0; i < view.ndim; ++i) {
    view.sizes[i] = integer(PyTuple_GET_ITEM(sizes, i));
    view.strides[i] = integer(PyTuple_GET_ITEM(strides, i));
  }
}

void read(PyObject* object, Arg& arg, int64_t* ints) {
  if (object == Py_None) return;
  if (PyTuple_Check(object)) {
    read_tensor(object, arg.tensor);
  } else if (PyList_Check(object)) {
    arg.ints = {ints, static_cast<int64_t>(PyList_GET_SIZE(object))};
    if (arg.ints.size > kMaxInts) throw std::invalid_argument("a list of more than 16 integers");
    for (int64_t i = 0; i < arg.ints.size; ++i) ints[i] = integer(PyList_GET_ITEM(object, i));
  } else if (PyUnicode_Check(object)) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(object, &size);
    if (!text) throw py::error_already_set();
    arg.text = {text, static_cast<size_t>(size)};
  } else if (PyFloat_Check(object)) {
    arg.real = PyFloat_AS_DOUBLE(object);
  } else {
    arg.integer = integer(object);
    arg.real = static_cast<double>(arg.integer);
  }
}

py::object call(const LauncherEntry& entry, const py::args& args) {
  if (static_cast<int>(args.size()) != entry.num_args)
    throw std::invalid_argument(std::string(entry.name) + " takes " + std::to_string(entry.num_args)
                                + " arguments, got " + std::to_string(args.size()));
  Arg parsed[kMaxArgs];
  int64_t ints[kMaxArgs][kMaxInts];
  for (int i = 0; i < entry.num_args; ++i) read(PyTuple_GET_ITEM(args.ptr(), i), parsed[i], ints[i]);
  int64_t result = 0;
  {
    py::gil_scoped_release release;
    result = entry.call(parsed);
  }
  if (entry.returns_text) return py::str(reinterpret_cast<const char*>(result));
  return py::int_(result);
}

// GAN_FAST_ISA caps the instruction set, so that every variant can be tested on one machine.
int best_isa() {
  int best = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) best = 1;
  if (best == 1 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
      && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    best = 2;
#endif
  if (const char* cap = std::getenv("GAN_FAST_ISA")) {
    for (int i = 0; i < 3; ++i)
      if (std::string(kIsaNames[i]) == cap) return i < best ? i : best;
    throw std::invalid_argument(std::string("GAN_FAST_ISA: got '") + cap + "', takes plain, avx2 or avx512");
  }
  return best;
}

}  // namespace

PYBIND11_MODULE(GAN_FAST_MODULE, m) {
  const int limit = best_isa();
  std::vector<const LauncherEntry*> chosen;
  for (auto p = &__start_gan_fast_launchers; p != &__stop_gan_fast_launchers; ++p) {
    const LauncherEntry* e = *p;
    if (e->isa > limit) continue;
    const LauncherEntry** seen = nullptr;
    for (auto& c : chosen)
      if (std::string(c->name) == e->name) seen = &c;
    if (!seen)
      chosen.push_back(e);
    else if ((*seen)->isa < e->isa)
      *seen = e;
  }
  if (chosen.empty())
    throw py::import_error(std::string("built for other instruction sets than ") + kIsaNames[limit]
                           + ", which is all that this processor or GAN_FAST_ISA allows (docs/install.md)");
  for (const LauncherEntry* e : chosen)
    m.attr(e->name) = py::cpp_function([e](const py::args& args) { return call(*e, args); });
  m.attr("isa") = kIsaNames[limit];
}
