package codec

import (
	"reflect"
	"unsafe"
)

// This file is how an engine writes and reads maps.

// pairCode is Go code for the maps of a common key type and element type, which is several times as
// fast as reflect. It does not change.
type pairCode struct {
	append func(b []byte, m unsafe.Pointer) []byte        // appends the map at m
	read   func(r reader, m unsafe.Pointer, n int) reader // reads n entries into a new map, which it puts at m
}

// pairs holds the code by the types of the key and the element.
var pairs = map[[2]reflect.Type]*pairCode{
	typesOf[string, string]():  codeOf[string, string](),
	typesOf[string, int]():     codeOf[string, int](),
	typesOf[string, int64]():   codeOf[string, int64](),
	typesOf[string, float64](): codeOf[string, float64](),
	typesOf[string, bool]():    codeOf[string, bool](),
	typesOf[int, string]():     codeOf[int, string](),
	typesOf[int, int]():        codeOf[int, int](),
}

func typesOf[K, V any]() [2]reflect.Type {
	return [2]reflect.Type{reflect.TypeFor[K](), reflect.TypeFor[V]()}
}

func codeOf[K string | int, V string | int | int64 | float64 | bool]() *pairCode {
	return &pairCode{appendPairs[K, V], readPairs[K, V]}
}

// entry is room for one entry of a map. One goroutine at a time takes it from engine.pool.
type entry struct {
	iter   reflect.MapIter // the iterator over the map that is being encoded
	key    reflect.Value   // the room for a key
	elem   reflect.Value   // the room for an element
	keyAt  unsafe.Pointer  // a pointer to the room of key
	elemAt unsafe.Pointer  // a pointer to the room of elem
}

// newEntry returns room for the entries of maps of the type.
func newEntry(t reflect.Type) *entry {
	k, v := reflect.New(t.Key()), reflect.New(t.Elem())
	return &entry{key: k.Elem(), elem: v.Elem(), keyAt: k.UnsafePointer(), elemAt: v.UnsafePointer()}
}

// release empties the room and gives it back.
func (e *engine) release(x *entry) {
	x.iter.Reset(reflect.Value{})
	x.key.SetZero()
	x.elem.SetZero()
	e.pool.Put(x)
}

// appendMap appends a map: the number of entries, then keys and elements in turn.
func (e *engine) appendMap(b []byte, p unsafe.Pointer, left int) ([]byte, error) {
	if e.pairs != nil {
		return e.pairs.append(b, p), nil
	}
	if e.typ == mapType {
		return e.appendPlainMap(b, *(*map[string]any)(p), left)
	}
	m := reflect.NewAt(e.typ, p).Elem()
	n := m.Len()
	b = appendUint(b, uint64(n))
	if n == 0 {
		return b, nil
	}
	x := e.pool.Get().(*entry)
	var err error
	for x.iter.Reset(m); err == nil && x.iter.Next(); {
		x.key.SetIterKey(&x.iter)
		x.elem.SetIterValue(&x.iter)
		if b, err = e.key.appendValue(b, x.keyAt, left-1); err == nil {
			b, err = e.elem.appendValue(b, x.elemAt, left-1)
		}
	}
	e.release(x)
	return b, err
}

func appendPairs[K string | int, V string | int | int64 | float64 | bool](b []byte, p unsafe.Pointer) []byte {
	m := *(*map[K]V)(p)
	b = appendUint(b, uint64(len(m)))
	for k, v := range m {
		b = appendBasic(appendBasic(b, &k), &v)
	}
	return b
}

func appendBasic[T string | int | int64 | float64 | bool](b []byte, v *T) []byte {
	switch v := any(v).(type) {
	case *string:
		b = append(appendUint(b, uint64(len(*v))), *v...)
	case *int:
		b = appendInt(b, int64(*v))
	case *int64:
		b = appendInt(b, *v)
	case *float64:
		b = appendFloat(b, *v)
	case *bool:
		if *v {
			return append(b, 1)
		}
		return append(b, 0)
	}
	return b
}

// readMap reads a map into the nil map at p. If several entries have the same key, the last stays.
func (e *engine) readMap(r *reader, p unsafe.Pointer, depth int) {
	n := r.count(2)
	if n > 0 && depth >= maxDepth {
		r.fail(errDeep)
	}
	if r.err != nil {
		return
	}
	r.aside += 2 * n
	if e.pairs != nil {
		*r = e.pairs.read(*r, p, n)
		return
	}
	if e.typ == mapType {
		*(*map[string]any)(p) = e.readPlainMap(r, n, depth)
		return
	}
	m := reflect.MakeMapWithSize(e.typ, min(n, maxAtOnce/int(max(e.key.size+e.elem.size, 1))))
	reflect.NewAt(e.typ, p).Elem().Set(m)
	if n == 0 {
		return
	}
	x := e.pool.Get().(*entry)
	for i := 0; i < n; i++ {
		r.aside--
		e.key.read(r, x.keyAt, depth+1)
		r.aside--
		e.elem.read(r, x.elemAt, depth+1)
		if r.err == nil && e.unsure && !x.key.Comparable() {
			r.fail(errGarbled) // no map has such a key
		}
		if r.err != nil {
			break
		}
		m.SetMapIndex(x.key, x.elem)
		x.key.SetZero()
		x.elem.SetZero()
	}
	e.release(x)
}

func readPairs[K string | int, V string | int | int64 | float64 | bool](r reader, p unsafe.Pointer, n int) reader {
	m := make(map[K]V, n)
	*(*map[K]V)(p) = m
	for i := 0; i < n && r.err == nil; i++ {
		var k K
		var v V
		r.aside -= 2
		readBasic(&r, &k)
		readBasic(&r, &v)
		m[k] = v
	}
	return r
}

func readBasic[T string | int | int64 | float64 | bool](r *reader, v *T) {
	switch v := any(v).(type) {
	case *string:
		*v = string(r.bytes())
	case *int:
		x := r.int()
		if int64(int(x)) != x {
			r.fail(errRange)
		}
		*v = int(x)
	case *int64:
		*v = r.int()
	case *float64:
		*v = r.float64()
	case *bool:
		*v = r.uint() != 0
	}
}

// appendPlainMap appends a map of what JSON has.
func (e *engine) appendPlainMap(b []byte, m map[string]any, left int) (_ []byte, err error) {
	b = appendUint(b, uint64(len(m)))
	var elem any // one for all elements, because it is on the heap
	for k, v := range m {
		b = append(appendUint(b, uint64(len(k))), k...)
		elem = v
		if b, err = e.elem.appendValue(b, unsafe.Pointer(&elem), left-1); err != nil {
			break
		}
	}
	return b, err
}

// readPlainMap reads a map of n elements of what JSON has. The caller has set the bytes of the
// elements aside.
func (e *engine) readPlainMap(r *reader, n, depth int) map[string]any {
	m := make(map[string]any, min(n, maxAtOnce/32))
	var elem any // one for all elements, because it is on the heap
	for i := 0; i < n && r.err == nil; i++ {
		r.aside -= 2
		k := r.text()
		elem = nil
		if e.elem.read(r, unsafe.Pointer(&elem), depth+1); r.err == nil {
			m[k] = elem
		}
	}
	return m
}
