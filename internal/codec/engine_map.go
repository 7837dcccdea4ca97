package codec

import (
	"reflect"
	"unsafe"
)

// This file is how an engine writes and reads maps.

// pair is the key type and the element type of a map, if the map is common enough to have Go code
// of its own here, which is several times as fast as reflect.
type pair uint8

const (
	pairOther pair = iota
	pairStringString
	pairStringInt
	pairStringInt64
	pairStringFloat64
	pairStringBool
	pairIntString
	pairIntInt
)

// pairs holds the pairs by the types of the key and the element.
var pairs = map[[2]reflect.Type]pair{
	{reflect.TypeFor[string](), reflect.TypeFor[string]()}:  pairStringString,
	{reflect.TypeFor[string](), reflect.TypeFor[int]()}:     pairStringInt,
	{reflect.TypeFor[string](), reflect.TypeFor[int64]()}:   pairStringInt64,
	{reflect.TypeFor[string](), reflect.TypeFor[float64]()}: pairStringFloat64,
	{reflect.TypeFor[string](), reflect.TypeFor[bool]()}:    pairStringBool,
	{reflect.TypeFor[int](), reflect.TypeFor[string]()}:     pairIntString,
	{reflect.TypeFor[int](), reflect.TypeFor[int]()}:        pairIntInt,
}

func pairOf(t reflect.Type) pair { return pairs[[2]reflect.Type{t.Key(), t.Elem()}] }

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
	switch e.pair {
	case pairStringString:
		return appendPairs(b, *(*map[string]string)(p)), nil
	case pairStringInt:
		return appendPairs(b, *(*map[string]int)(p)), nil
	case pairStringInt64:
		return appendPairs(b, *(*map[string]int64)(p)), nil
	case pairStringFloat64:
		return appendPairs(b, *(*map[string]float64)(p)), nil
	case pairStringBool:
		return appendPairs(b, *(*map[string]bool)(p)), nil
	case pairIntString:
		return appendPairs(b, *(*map[int]string)(p)), nil
	case pairIntInt:
		return appendPairs(b, *(*map[int]int)(p)), nil
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

func appendPairs[K string | int, V string | int | int64 | float64 | bool](b []byte, m map[K]V) []byte {
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
	switch e.pair {
	case pairStringString:
		readPairs(r, (*map[string]string)(p), n)
	case pairStringInt:
		readPairs(r, (*map[string]int)(p), n)
	case pairStringInt64:
		readPairs(r, (*map[string]int64)(p), n)
	case pairStringFloat64:
		readPairs(r, (*map[string]float64)(p), n)
	case pairStringBool:
		readPairs(r, (*map[string]bool)(p), n)
	case pairIntString:
		readPairs(r, (*map[int]string)(p), n)
	case pairIntInt:
		readPairs(r, (*map[int]int)(p), n)
	default:
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
			if r.err != nil {
				break
			}
			m.SetMapIndex(x.key, x.elem)
			x.key.SetZero()
			x.elem.SetZero()
		}
		e.release(x)
	}
}

func readPairs[K string | int, V string | int | int64 | float64 | bool](r *reader, p *map[K]V, n int) {
	m := make(map[K]V, n)
	*p = m
	for i := 0; i < n && r.err == nil; i++ {
		var k K
		var v V
		r.aside -= 2
		readBasic(r, &k)
		readBasic(r, &v)
		m[k] = v
	}
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
