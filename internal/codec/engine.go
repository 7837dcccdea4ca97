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

// An engine reads and writes the values of one Go type in gob's format. It does so in place of gob,
// which takes some ten times as long and offers no way to check the bytes while it reads them. An
// engine does not change, so that any goroutine may use it at any time. A type has no engine if a
// part of it is not understood here; its values go through gob.
//
// An engine writes the bytes that gob writes, or bytes that gob reads, see omits; what interfaces
// hold has a form of its own, see engine_interface.go. An engine refuses the payloads that gob
// refuses. It differs from gob in this:
//
//   - If one payload has several faults, an engine may report another fault.
//   - An empty slice in a field stays empty; gob makes it nil.
//   - Methods are called for values that stand before a fault.
//   - A slice may have spare capacity.
//   - Where int has 32 bits, a uint in a slice is checked for its range, as all other numbers are.
//
// Engines reach values by unsafe pointers, under these rules. A pointer leads to a value of the
// engine's type, in memory that Go has allocated as that type or, if the type holds no pointers, as
// numbers of the same size. The pointer is an unsafe.Pointer all the time and never a uintptr, so
// that the garbage collector sees it. Everything that holds pointers is stored by way of a type
// that has them, or by reflect, so that no write barrier is missed. Sizes and offsets are those
// that reflect reports.
type engine struct {
	op     op            // how the values lie in memory
	typ    reflect.Type  // the type
	size   uintptr       // the size of one value in bytes
	len    int           // the length of an array
	levels int           // how many pointers lead to the value, if op is opPointer
	direct bool          // an interface holds the value itself, and no pointer to it
	always bool          // opMethods: a field with a zero value is sent, too, because the method has a pointer receiver
	form   form          // opMethods: which methods encode and decode the value
	unsure bool          // opMap: the key may hold an interface, so that not all keys can be keys
	holds  holding       // what interfaces in the value hold; nil within a type that compile was not asked for
	pairs  *pairCode     // opMap: the code for the map if its key and element are basic and common, or nil
	key    *engine       // the engine of a map's key
	elem   *engine       // the engine of the element of a slice, array or map, or of the value behind pointers
	fields []engineField // the exported fields of a struct, in their order
	pool   sync.Pool     // opMap: *entry, for one goroutine at a time
}

// engineField is an exported field of a struct. Its index in engine.fields is its number in gob.
type engineField struct {
	op     op      // engine.op of the field's type
	offset uintptr // where in the struct the field lies, in bytes
	engine *engine // the engine of the field's type
	name   string  // the name of the field
}

// op is how a value lies in memory. A number is told by its size; int, uint and uintptr have no ops
// of their own.
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
	opPointer // one pointer or more, which lead to a value of another op
	opInterface
)

// holding writes and reads what an interface holds, whose engine it gets. It is a Codec, which
// knows the types.
type holding interface {
	// appendHeld appends what the interface at p holds. left is near walked if the value was walked
	// over, so that its cards are in the payload; otherwise appendHeld may return errWalk.
	appendHeld(e *engine, b []byte, p unsafe.Pointer, left int) ([]byte, error)
	// appendCards walks over a value that holds interfaces, and appends what comes before it.
	appendCards(b []byte, v reflect.Value) ([]byte, error)
	// readHeld reads what an interface holds into the nil interface at p. It gets a copy of the
	// reader and returns it, so that no reader has to be on the heap.
	readHeld(e *engine, r reader, p unsafe.Pointer, depth int) reader
	// readCards reads what appendCards has written.
	readCards(r reader) reader
}

// maxTypeDepth bounds how deep the types are nested that an engine is made for.
const maxTypeDepth = 1000

var timeType = reflect.TypeFor[time.Time]()

// compiler makes the engines for a type and all types in it. One goroutine uses it.
type compiler struct {
	holds   holding                  // for the engines of interfaces
	engines map[reflect.Type]*engine // the engines that were begun so far; nil for types that have none
}

// compile returns the engine for a type with that shape, or nil.
func compile(t reflect.Type, s *shape, h holding) *engine {
	c := &compiler{holds: h, engines: map[reflect.Type]*engine{}}
	e := c.engineOf(t, s, 0)
	for _, m := range c.engines {
		if e != nil && m != nil && m.op == opInterface {
			e.holds = h
		}
		if m != nil && m.op == opMap && e != nil && (m.key.needsAddress() || m.elem.needsAddress()) {
			return nil // gob refuses such values
		}
	}
	return e
}

// needsAddress reports whether a method with a pointer receiver encodes the value or a part of it.
// The keys and elements of maps have no address.
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

// engineOf returns the engine for a type, or nil. If a type holds itself, its engine has itself as
// a part.
func (c *compiler) engineOf(t reflect.Type, s *shape, depth int) *engine {
	if t.Kind() == reflect.Pointer {
		return c.pointerOf(t, s, depth)
	}
	if e, ok := c.engines[t]; ok || depth > maxTypeDepth {
		return e
	}
	e := &engine{typ: t, size: t.Size()}
	c.engines[t] = e
	var known bool // e.op is set before the parts are looked at, because a part may be of the type t again
	e.direct, known = storedDirectly(t)
	part := func(t reflect.Type, s *shape) *engine {
		p := c.engineOf(t, s, depth+1)
		known = known && p != nil
		return p
	}
	switch s.form {
	case basic:
		if e.op, known = basicOp(t); e.op == opInterface {
			e.holds = c.holds
		}
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
			e.unsure = e.key.op == opInterface || e.key.op == opStruct || e.key.op == opArray
			e.pairs = pairs[[2]reflect.Type{t.Key(), t.Elem()}]
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

// methodsOf holds the interfaces whose methods encode and decode the types of a form.
var methodsOf = map[form][2]reflect.Type{
	gobEncoded: {gobEncoder, gobDecoder}, binaryMarshaled: {binaryMarshaler, binaryUnmarshaler},
}

// pointerOf returns the engine for a type of pointers. gob sends the value behind them.
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

// basicOp returns the op of a basic type, or false.
func basicOp(t reflect.Type) (op, bool) {
	sized := func(op8 op) op { // the ops of numbers follow each other by size
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
	case reflect.Interface:
		return opInterface, true
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

// decodeItself calls the method that decodes the value at p. The method may keep the data.
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
	data unsafe.Pointer // a pointer to the value, or the value itself, see storedDirectly
}

// words is a pool of memory for values that an interface holds itself, such as maps.
var words = sync.Pool{New: func() any { return new(unsafe.Pointer) }}

// withAddress calls append with a pointer to the value in v.
func (e *engine) withAddress(b []byte, v reflect.Value, left int) ([]byte, error) {
	if v.CanAddr() {
		return e.append(b, v.Addr().UnsafePointer(), left)
	}
	i := v.Interface() // what is in an interface no longer changes
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
// in its data word, and not a pointer to it. The compiler has a rule for this, which is written
// down nowhere and changes from one release of Go to the next: so storedDirectly puts two values
// into interfaces and looks at the data words. known is false if the two values give different
// answers, or if a data word is neither the value nor a pointer to it.
func storedDirectly(t reflect.Type) (direct, known bool) {
	word := func(v reflect.Value) unsafe.Pointer {
		i := v.Interface()
		return (*iface)(unsafe.Pointer(&i)).data
	}
	if t.Size() > unsafe.Sizeof(uintptr(0)) {
		return false, true // the value does not fit into the data word
	}
	v := reflect.New(t)
	// The first value is zero. If the word is the value, it is nil; a pointer to the value is not.
	direct = word(v.Elem()) == nil
	if t.Size() < unsafe.Sizeof(uintptr(0)) {
		return direct, !direct
	}
	// The second value is a pointer to some other place.
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
