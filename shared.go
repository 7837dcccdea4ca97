package multiprolab

import (
	"fmt"
	"io"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/shared"
)

// This file is shared data as users see it: what a worker gets, and how numbers are laid out in it.

// Shared is one version of shared data, mapped into the process of a worker. It does not change.
// It belongs to the handler that has asked for it, see [Worker.Shared].
type Shared struct {
	name    string          // the name under which it is published
	version *shared.Version // what is mapped
	once    func()          // gives it back, once; nil if the end of the handler does
}

// Name returns the name under which it is published.
func (s *Shared) Name() string { return s.name }

// Version returns the number of the version, as Main.Publish has returned it.
func (s *Shared) Version() uint64 { return s.version.Number }

// Bytes returns the data where it lies: nothing is copied. It may be read only: to write to it ends
// the process with a memory fault. Once the data is given back, to read it may do the same.
func (s *Shared) Bytes() []byte {
	return s.version.Memory[:len(s.version.Memory):len(s.version.Memory)]
}

// Release gives back what was taken outside of a handler, which may not be used after that. In a
// handler it does nothing, because the handler keeps its version until it returns. Calls after the
// first do nothing.
func (s *Shared) Release() {
	if s.once != nil {
		s.once()
	}
}

// Number is the numbers of a fixed size, which lie in memory alike in all processes of a program.
type Number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64 |
		~complex64 | ~complex128
}

// View returns shared data as the numbers that [Numbers] has laid out there: nothing is copied.
// What Bytes says holds for the slice as well. It returns an error if the size of the data is not a
// multiple of the size of a number, or if the data is not aligned as the numbers must be.
func View[T Number](s *Shared) ([]T, error) {
	var zero T
	b, size := s.Bytes(), int(unsafe.Sizeof(zero))
	if len(b) == 0 {
		return nil, nil
	}
	if len(b)%size != 0 {
		return nil, fmt.Errorf(
			"multiprolab: shared data %q has %d bytes: it holds no numbers of type %T, of %d bytes each",
			s.name, len(b), zero, size,
		)
	}
	first := unsafe.SliceData(b)
	if uintptr(unsafe.Pointer(first))%unsafe.Alignof(zero) != 0 {
		return nil, fmt.Errorf("multiprolab: shared data %q is not aligned for numbers of type %T", s.name, zero)
	}
	n := len(b) / size
	return unsafe.Slice((*T)(unsafe.Pointer(first)), n)[:n:n], nil
}

// Numbers returns a source for [Main.Publish] that writes numbers as they lie in memory, for [View]
// to find them.
func Numbers[T Number](s []T) io.WriterTo { return numbers[T](s) }

// numbers writes numbers as they lie in memory.
type numbers[T Number] []T

// WriteTo implements io.WriterTo.
func (s numbers[T]) WriteTo(w io.Writer) (int64, error) {
	if len(s) == 0 {
		return 0, nil
	}
	n, err := w.Write(unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0]))))
	return int64(n), err
}
