// Package codec turns Go values into bytes and back, with gob, and leaves out what gob would
// otherwise send with every message: the definitions of the types.
//
// A gob stream is a row of messages: the definitions of a type, then values of it. A fresh encoder
// for each value sends the definitions each time, and a fresh decoder compiles them each time,
// which costs some twenty times as much as the value itself. Both ends of a wire are the same
// program. So both derive the same definitions from the Go type, and give them an id that is made
// from their content. A payload then holds only the value and that id; an end that decodes it into
// a type with the same id needs nothing else. The ends still exchange definitions by id, ahead of
// the first value: if the receiver wants another type, the name in them tells a user what was sent.
//
// Few values go through gob itself. An engine, which is made once for a type, writes the same bytes
// as gob. Where gob would lose something, the engine keeps it, in bytes that gob can read. It
// checks what it reads while it reads it. What an interface holds, an engine writes in a form of
// its own: plain values, such as those that JSON gives, with a number for their type, and others
// with the name by which gob.Register knows it. gob remains for a few types that have methods of
// their own to encode them.
//
// A value that gob encodes and that holds an interface can bring new definitions at any time. Such
// a value travels self-contained: definitions and value together, every time. Only for such values,
// and to find a type by its name, do definitions from another process reach gob; they are checked
// and made anew before.
//
// gob is not made for hostile bytes: a count of a few bytes makes it take all memory, and deep
// nesting overflows its stack. So every payload that goes to gob is walked over and checked first.
// Methods that encode a type are users' code. If one panics, the value has an error: see guard.
//
// Each process has one Codec. All its methods may be called from any goroutine.
package codec

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// The encodings of a payload.
const (
	None     = iota // no body: nil, a nil pointer or struct{}{}
	Bytes           // a []byte, uncoded
	String          // a string, uncoded
	Gob             // the names of the type, definitions and a value
	GobValue        // what follows the type id in a gob value message; the definitions have the id in Defs
)

const (
	maxDefinitions    = 16384    // how many definitions from other processes one Codec keeps
	maxDefinitionSize = 1 << 20  // how many bytes the definitions under one id may have
	maxDefinitionsSum = 64 << 20 // how many bytes all definitions from other processes may have together
	maxPooled         = 1 << 20  // bytes; memory that has held a larger value is not used again
)

// Payload is an encoded value.
type Payload struct {
	Data     []byte // the encoded value; nil if Encoding is None
	Defs     uint64 // the id of the definitions, if Encoding is GobValue
	Encoding uint8  // how the value is encoded
	Lent     bool   // Data is the memory of the value itself, see Lend
}

// Codec encodes and decodes the values of one process. The zero value is ready for use.
type Codec struct {
	types sync.Map // what is known of each type: reflect.Type -> *typeInfo
	parts sync.Map // what is inspected in each type: reflect.Type -> *parts
	named sync.Map // the types that gob.Register has made known: name -> reflect.Type
	cards sync.Map // the same, by the cards of the types, see appendCard: string -> reflect.Type
	// hot holds the types that were used last, each in a place that its address chooses.
	hot [16]atomic.Pointer[hotType]

	gobOnly bool // no type has an engine; tests set it before the first use

	mu       sync.RWMutex      // guards defs, learnt and defsSize
	defs     map[uint64][]byte // definitions, by their ids
	learnt   int               // how many definitions came through Define
	defsSize int               // how many bytes the definitions have that came through Define
}

// typeInfo holds what a Codec knows of one type, below any pointers. Only kept and the pools
// change, so that any goroutine may use it.
type typeInfo struct {
	name          string      // the type's name, with its package's path
	head          []byte      // the two names of the type, as payloads and definitions begin with them
	err           error       // why values of the type cannot be sent, or nil
	shape         *shape      // the type as gob sees it
	selfContained bool        // values of the type travel together with their definitions
	inspected     bool        // values of the type are inspected before they are encoded
	addressable   bool        // a value of the type can be encoded only by way of a pointer
	defs          uint64      // the id of blob; 0 if selfContained
	blob          []byte      // the names, gob's id of the type, and the definitions; nil if selfContained
	messages      []byte      // the definitions, as gob messages: the last part of blob
	engine        *engine     // encodes and decodes the values; nil if they go through gob
	kept          atomic.Bool // Codec.defs has the definitions
	held                      // how values of the type are behind interfaces
	encoders      sync.Pool   // of *primedEncoder
	decoders      sync.Pool   // of *primedDecoder
}

// primedEncoder is an encoder that has written the definitions of a type once and for all. One
// goroutine at a time takes it from the pool of its type.
type primedEncoder struct {
	buf    bytes.Buffer // what enc has written of the present value
	enc    *gob.Encoder // writes to buf
	primed bool         // enc has written the definitions
}

// typeOf returns what is known of a type.
func (c *Codec) typeOf(t reflect.Type) *typeInfo {
	// A type's address, in the second word of the interface, chooses the place of the type in hot.
	hot := &c.hot[(*[2]uintptr)(unsafe.Pointer(&t))[1]>>6%uintptr(len(c.hot))]
	if h := hot.Load(); h != nil && h.t == t {
		return h.info
	}
	i := c.lookUp(t)
	hot.Store(&hotType{t, i})
	return i
}

// hotType is a type that was used lately. It does not change.
type hotType struct {
	t    reflect.Type // the type
	info *typeInfo    // what is known of the type
}

// lookUp is typeOf without the types that were used last.
func (c *Codec) lookUp(t reflect.Type) *typeInfo {
	if i, ok := c.types.Load(t); ok {
		return i.(*typeInfo)
	}
	if b, ok := base(t); ok && b != t {
		i := c.lookUp(b)
		c.types.Store(t, i)
		return i
	}
	i := &typeInfo{name: typeName(t)}
	i.head = appendNames(nil, i.name, t.String())
	var d *description
	if i.shape, d, i.err = describe(t); i.err == nil {
		i.addressable = d.addressable
		i.dynamic, i.inside, i.tag = t.Kind() == reflect.Interface, d.dynamic, plainTags[t]
		if !c.gobOnly && !ablate.Without(ablate.Engine) {
			i.engine = compile(t, i.shape, c)
		}
		i.selfContained = d.dynamic && i.engine == nil
		i.inspected = d.dynamic || d.recursive || d.nilElement && i.engine == nil
		if !i.selfContained {
			// the id tells named basic types apart, which have no definitions
			i.blob = appendInt(slices.Clone(i.head), i.shape.id)
			n := len(i.blob)
			i.blob = appendDefinitions(i.blob, d.defs)
			i.messages = i.blob[n:]
			i.defs = idOf(i.blob)
		}
	}
	got, _ := c.types.LoadOrStore(t, i)
	return got.(*typeInfo)
}

var (
	bytesType  = reflect.TypeFor[[]byte]()
	stringType = reflect.TypeFor[string]()
)

// scratch is room to encode values into, before they are copied to slices of the right size. One
// goroutine at a time takes it from scratches.
type scratch struct {
	buf []byte // the room, whose length is 0
}

// scratches is a pool of *scratch.
var scratches = sync.Pool{New: func() any { return &scratch{make([]byte, 0, 512)} }}

// Encode encodes v, or what it points to. The payload shares no memory with v.
func (c *Codec) Encode(v any) (Payload, error) {
	switch v := v.(type) { // values that need no scratch
	case nil, struct{}:
		return Payload{}, nil
	case []byte:
		return Payload{Encoding: Bytes, Data: bytes.Clone(v)}, nil
	case string:
		return Payload{Encoding: String, Data: []byte(v)}, nil
	}
	s := scratches.Get().(*scratch)
	buf, p, err := c.AppendEncode(s.buf[:0], v)
	if cap(buf) > maxPooled { // one huge value must not stay in memory for ever
		return p, err
	}
	p.Data = bytes.Clone(p.Data)
	s.buf = buf
	scratches.Put(s)
	return p, err
}

// AppendEncode is Encode into memory of the caller: it appends the payload's data to dst and
// returns the longer slice. The payload's Data is the part that was appended. After an error the
// slice is as long as dst.
func (c *Codec) AppendEncode(dst []byte, v any) ([]byte, Payload, error) {
	buf, p, err := c.appendEncode(dst, v)
	if err != nil {
		return dst, Payload{}, err
	}
	if p.Encoding != None {
		p.Data = buf[len(dst):len(buf):len(buf)]
	}
	return buf, p, nil
}

// appendEncode is AppendEncode, but leaves the Data of the payload nil.
func (c *Codec) appendEncode(dst []byte, v any) ([]byte, Payload, error) {
	switch v := v.(type) {
	case nil, struct{}:
		return dst, Payload{}, nil
	case []byte:
		return append(dst, v...), Payload{Encoding: Bytes}, nil
	case string:
		return append(dst, v...), Payload{Encoding: String}, nil
	}
	rv := reflect.ValueOf(v)
	for range maxPointers {
		if rv.Kind() != reflect.Pointer && rv.Kind() != reflect.Interface {
			break
		}
		if rv.IsNil() {
			return dst, Payload{}, nil
		}
		rv = rv.Elem()
	}
	t := c.typeOf(rv.Type())
	switch {
	case t.err != nil:
		return nil, Payload{}, t.err
	case rv.Type() == bytesType:
		return append(dst, rv.Bytes()...), Payload{Encoding: Bytes}, nil
	case rv.Type() == stringType:
		return append(dst, rv.String()...), Payload{Encoding: String}, nil
	case t.addressable && !rv.CanAddr():
		p := reflect.New(rv.Type())
		p.Elem().Set(rv)
		rv = p.Elem()
	}
	var err error
	if t.engine != nil {
		dst, err = c.encodeFast(dst, t, rv)
	} else if t.inspected {
		err = c.inspect(rv, maxDepth)
	}
	switch {
	case err != nil:
		return nil, Payload{}, err
	case t.selfContained:
		buf := bytes.NewBuffer(append(dst, t.head...))
		if err := c.encodeByGob(gob.NewEncoder(buf), rv); err != nil {
			return nil, Payload{}, err
		}
		return buf.Bytes(), Payload{Encoding: Gob}, nil
	case t.engine == nil:
		if dst, err = c.encodePrimed(dst, t, rv); err != nil {
			return nil, Payload{}, err
		}
	}
	c.keep(t)
	return dst, Payload{Encoding: GobValue, Defs: t.defs}, nil
}

// encodeByGob has gob encode a value.
func (c *Codec) encodeByGob(enc *gob.Encoder, v reflect.Value) error {
	panics := true
	err := func() (err error) {
		defer guard(&err, "encoding")
		err = explain(enc.EncodeValue(v))
		panics = false
		return err
	}()
	if panics && err != nil && strings.Contains(err.Error(), "nil pointer") &&
		c.walk(v, maxDepth, true, nil) == errNilElem {
		return fmt.Errorf("%w (%w)", errNilElem, err)
	}
	return err
}

// encodePrimed appends a value with an encoder that has written the definitions before. An encoder
// that has failed is thrown away, because nobody knows which definitions it takes for written.
func (c *Codec) encodePrimed(dst []byte, t *typeInfo, v reflect.Value) ([]byte, error) {
	e, _ := t.encoders.Get().(*primedEncoder)
	if e == nil {
		e = &primedEncoder{}
		e.enc = gob.NewEncoder(&e.buf)
	}
	e.buf.Reset()
	if err := c.encodeByGob(e.enc, v); err != nil {
		return nil, err
	}
	s := scanner{data: e.buf.Bytes()}
	message := s.bytes()
	for ; len(s.data) > 0 && !e.primed; message = s.bytes() {
	}
	e.primed = true
	value := scanner{data: message, err: s.err}
	if id := value.int(); id <= 0 || len(s.data) > 0 || value.err != nil {
		return nil, errors.New("gob wrote what it was not expected to") // definitions that are not of this type
	}
	dst = append(dst, value.data...)
	if e.buf.Cap() <= maxPooled { // one huge value must not stay in memory for ever
		t.encoders.Put(e)
	}
	return dst, nil
}

// keep puts the definitions of a type of this process into defs.
func (c *Codec) keep(t *typeInfo) {
	if !t.kept.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.put(t.defs, t.blob)
		t.kept.Store(true)
	}
}

// put puts definitions into defs. The caller holds mu.
func (c *Codec) put(id uint64, blob []byte) {
	if c.defs == nil {
		c.defs = map[uint64][]byte{}
	}
	c.defs[id] = blob
}

// Define stores definitions that Definitions of another Codec has returned, and returns their id.
// The id is made from the content, so that nobody can put other definitions under an id in use. If
// the Codec has as many as it may keep, it does not store further ones: values decode without them,
// and only the error for a wrong type lacks the name.
func (c *Codec) Define(blob []byte) (uint64, error) {
	if len(blob) > maxDefinitionSize {
		return 0, fmt.Errorf("type definitions of %d bytes are over the limit of %d bytes", len(blob),
			maxDefinitionSize)
	}
	if _, _, err := cutName(blob); err != nil {
		return 0, fmt.Errorf("type definitions without a name: %w", err)
	}
	id := idOf(blob)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.defs[id]; !ok && c.learnt < maxDefinitions && c.defsSize+len(blob) <= maxDefinitionsSum {
		c.put(id, bytes.Clone(blob))
		c.learnt++
		c.defsSize += len(blob)
	}
	return id, nil
}

// Definitions returns the definitions with the id, or nil. They must not be changed.
func (c *Codec) Definitions(id uint64) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.defs[id]
}
