package codec

import (
	"encoding"
	"encoding/gob"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"
)

// An engine reads and writes the values of one Go type in gob's format, in place of gob, which
// takes some ten times as long and lets no check into its own pass over the bytes. It does not
// change: any goroutine may use it at any time. A type of which a part is not understood here has
// none, and its values go through gob.
//
// The bytes are those of gob, or such as gob reads, see omits; and the same payloads are refused.
// What differs is which of several faults of one payload is reported; an empty slice in a field,
// which gob makes nil; that methods are called for what stands before a fault; spare capacity
// behind a slice; and, where int has 32 bits, that a uint in a slice is checked for its range as
// all others are.
//
// Engines reach values by unsafe pointers, under these rules. A pointer is to a value of the
// engine's type, in memory that Go allocated as that type or, where that holds no pointers, as
// numbers of the same size; it is an unsafe.Pointer all the time and never a uintptr, so that the
// garbage collector sees it. Whatever holds pointers is stored by way of a type that has them, or
// by reflect, so that no write barrier is missed. Sizes and offsets are those that reflect reports.
type engine struct {
	op     op
	typ    reflect.Type
	size   uintptr // of one value
	len    int     // of an array
	levels int     // of pointers, if op is opPointer
	direct bool    // an interface holds the value itself, and no pointer to it
	always bool    // opMethods: a field with the zero value is sent too, since its method has a pointer receiver
	form   form    // opMethods: which
	pair   pair    // opMap: key and element, if they are basic and common
	key    *engine // of a map
	elem   *engine // of a slice, array or map, or behind the pointers
	fields []engineField
	pool   sync.Pool // opMap: *entry
}

// engineField is an exported field. Its index is its number in gob.
type engineField struct {
	op     op
	offset uintptr
	engine *engine
	name   string
}

// op is how values lie in memory: numbers by their size, int, uint and uintptr among them.
type op uint8

const (
	opBool op = iota
	opInt8
	opInt16
	opInt32
	opInt64
	opUint8
	opUint16
	opUint32
	opUint64
	opFloat32
	opFloat64
	opComplex64
	opComplex128
	opString
	opBytes
	opTime    // time.Time
	opMethods // GobEncode and GobDecode, or MarshalBinary and UnmarshalBinary
	opSlice
	opArray
	opStruct
	opMap
	opPointer // leads to one of the others, over one pointer or more
)

const maxTypeDepth = 1000 // of types in types that an engine is made for

var timeType = reflect.TypeFor[time.Time]()

// compiler makes the engines for a type and all in it.
type compiler struct{ engines map[reflect.Type]*engine }

// compile returns the engine for a type of which the shape is known, or nil.
func compile(t reflect.Type, s *shape) *engine {
	c := &compiler{engines: map[reflect.Type]*engine{}}
	e := c.engineOf(t, s, 0)
	for _, m := range c.engines {
		if m != nil && m.op == opMap && e != nil && (m.key.needsAddress() || m.elem.needsAddress()) {
			return nil // gob refuses such values
		}
	}
	return e
}

// needsAddress reports whether a method with a pointer receiver encodes the value, or a part that
// lies in it. The keys and elements of maps have no address.
func (e *engine) needsAddress() bool {
	switch e.op {
	case opMethods:
		return e.always
	case opArray:
		return e.elem.needsAddress()
	case opStruct:
		return slices.ContainsFunc(e.fields, func(f engineField) bool { return f.engine.needsAddress() })
	}
	return false
}

// engineOf returns the engine for a type, or nil. Types that hold themselves come back to their own
// engine.
func (c *compiler) engineOf(t reflect.Type, s *shape, depth int) *engine {
	if t.Kind() == reflect.Pointer {
		return c.pointerOf(t, s, depth)
	}
	if e, ok := c.engines[t]; ok || depth > maxTypeDepth {
		return e
	}
	e := &engine{typ: t, size: t.Size()}
	c.engines[t] = e
	var known bool // e.op is set before the parts are looked at, some of which may lead back here
	e.direct, known = storedDirectly(t)
	part := func(t reflect.Type, s *shape) *engine {
		p := c.engineOf(t, s, depth+1)
		known = known && p != nil
		return p
	}
	switch s.form {
	case basic:
		e.op, known = basicOp(t)
	case array:
		e.op, e.len = opArray, t.Len()
		e.elem = part(t.Elem(), s.elem)
	case slice:
		e.op = opSlice
		e.elem = part(t.Elem(), s.elem)
	case mapping:
		e.op = opMap
		e.key, e.elem = part(t.Key(), s.key), part(t.Elem(), s.elem)
		if known {
			e.pair = pairOf(t)
			e.pool.New = func() any { return newEntry(t) }
		}
	case structure:
		e.op = opStruct
		for f := range t.Fields() {
			if f.IsExported() && known {
				if fe := part(f.Type, s.fields[len(e.fields)].shape); known {
					e.fields = append(e.fields, engineField{fe.op, f.Offset, fe, f.Name})
				}
			}
		}
	case gobEncoded, binaryMarshaled:
		e.op, e.form = opMethods, s.form
		if t == timeType {
			e.op = opTime
			break
		}
		e.always = s.form == gobEncoded && !t.Implements(gobEncoder) ||
			s.form == binaryMarshaled && !t.Implements(binaryMarshaler)
		for _, i := range methodsOf[s.form] {
			known = known && reflect.PointerTo(t).Implements(i)
		}
	default:
		known = false
	}
	if !known {
		c.engines[t] = nil
		return nil
	}
	return e
}

var methodsOf = map[form][2]reflect.Type{
	gobEncoded: {gobEncoder, gobDecoder}, binaryMarshaled: {binaryMarshaler, binaryUnmarshaler},
}

// pointerOf returns the engine for a type of pointers, which gob flattens.
func (c *compiler) pointerOf(t reflect.Type, s *shape, depth int) *engine {
	if e, ok := c.engines[t]; ok {
		return e
	}
	e := &engine{op: opPointer, typ: t, size: t.Size()}
	c.engines[t] = e
	b, _ := base(t)
	for p := t; p != b; p = p.Elem() {
		e.levels++
	}
	if e.elem = c.engineOf(b, s, depth); e.elem == nil || e.levels > 1 && e.leadsToMethods() {
		c.engines[t] = nil
		return nil
	}
	return e
}

// leadsToMethods reports whether e is for pointers to a type with methods.
func (e *engine) leadsToMethods() bool {
	return e.op == opPointer && e.elem != nil && (e.elem.op == opMethods || e.elem.op == opTime)
}

func basicOp(t reflect.Type) (op, bool) {
	sized := func(op8 op) op { // they follow each other by size
		switch t.Size() {
		case 1:
			return op8
		case 2:
			return op8 + 1
		case 4:
			return op8 + 2
		}
		return op8 + 3
	}
	switch t.Kind() {
	case reflect.Bool:
		return opBool, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return sized(opInt8), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return sized(opUint8), true
	case reflect.Float32:
		return opFloat32, true
	case reflect.Float64:
		return opFloat64, true
	case reflect.Complex64:
		return opComplex64, true
	case reflect.Complex128:
		return opComplex128, true
	case reflect.String:
		return opString, true
	case reflect.Slice:
		return opBytes, true
	}
	return 0, false
}

// methods returns the value at p for its methods, by way of a pointer.
func (e *engine) methods(p unsafe.Pointer) any { return reflect.NewAt(e.typ, p).Interface() }

// encodeItself calls the method that encodes the value at p.
func (e *engine) encodeItself(p unsafe.Pointer) (data []byte, err error) {
	defer guard(&err, "encoding")
	if e.form == gobEncoded {
		data, err = e.methods(p).(gob.GobEncoder).GobEncode()
	} else {
		data, err = e.methods(p).(encoding.BinaryMarshaler).MarshalBinary()
	}
	return data, explain(err)
}

// decodeItself calls the method that decodes the value at p. The data are its own to keep.
func (e *engine) decodeItself(p unsafe.Pointer, data []byte) (err error) {
	defer guard(&err, "decoding")
	if e.form == gobEncoded {
		err = e.methods(p).(gob.GobDecoder).GobDecode(data)
	} else {
		err = e.methods(p).(encoding.BinaryUnmarshaler).UnmarshalBinary(data)
	}
	return explain(err)
}

// iface is how Go lays out an any.
type iface struct {
	_    unsafe.Pointer // the type
	data unsafe.Pointer // to the value, or the value itself, see storedDirectly
}

// words is a pool of memory for values that an interface holds itself: maps, say.
var words = sync.Pool{New: func() any { return new(unsafe.Pointer) }}

// withAddress calls append with a pointer to the value in v.
func (e *engine) withAddress(b []byte, v reflect.Value, left int) ([]byte, error) {
	if v.CanAddr() {
		return e.append(b, v.Addr().UnsafePointer(), left)
	}
	i := v.Interface() // which no longer changes
	data := (*iface)(unsafe.Pointer(&i)).data
	if !e.direct {
		return e.append(b, data, left)
	}
	w := words.Get().(*unsafe.Pointer)
	*w = data
	b, err := e.append(b, unsafe.Pointer(w), left)
	*w = nil
	words.Put(w)
	return b, err
}

// storedDirectly reports whether an interface that holds a value of the type has the value itself
// in its data word, and not a pointer to it. The rule for this is the compiler's, written down
// nowhere, and changes from one release of Go to the next: so it is seen from what becomes of two
// values. known is false where they tell different things, or neither of the two that are expected.
func storedDirectly(t reflect.Type) (direct, known bool) {
	word := func(v reflect.Value) unsafe.Pointer {
		i := v.Interface()
		return (*iface)(unsafe.Pointer(&i)).data
	}
	if t.Size() > unsafe.Sizeof(uintptr(0)) {
		return false, true // it has no room there
	}
	v := reflect.New(t)
	// a zero in the word itself; where there is a pointer to the value, it leads somewhere
	direct = word(v.Elem()) == nil
	if t.Size() < unsafe.Sizeof(uintptr(0)) {
		return direct, !direct
	}
	// Now with another value: a pointer to some other place.
	at, mark := (*unsafe.Pointer)(v.UnsafePointer()), unsafe.Pointer(new(int64))
	*at = mark
	data := word(v.Elem())
	if direct {
		known = data == mark
	} else {
		known = data != nil && data != mark && *(*unsafe.Pointer)(data) == mark
	}
	*at = nil
	runtime.KeepAlive(mark)
	return direct, known
}
