package codec

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unsafe"
)

// This file is how payloads are decoded: by their encoding, and after a check that the types agree.

// primedDecoder is a decoder that has read the definitions of a type once and for all. One
// goroutine at a time takes it from the pool of its type.
type primedDecoder struct {
	r      pieces       // the present value, for dec
	dec    *gob.Decoder // reads from r
	primed bool         // dec has been given the definitions
}

// pieces is a stream in up to three pieces. gob reads whole messages from it, and copies them.
type pieces struct {
	left [3][]byte // what is left of each piece
	head [24]byte  // memory for the piece that stands before the data of a value
}

// Read reads from the first piece of which something is left.
func (p *pieces) Read(b []byte) (int, error) {
	for i := range p.left {
		if len(p.left[i]) > 0 {
			n := copy(b, p.left[i])
			p.left[i] = p.left[i][n:]
			return n, nil
		}
	}
	return 0, io.EOF
}

// ReadByte tells gob that the stream needs no buffer.
func (p *pieces) ReadByte() (byte, error) {
	var b [1]byte
	_, err := p.Read(b[:])
	return b[0], err
}

// noBody stands in a MismatchError for the type of a payload that has no body.
const noBody = "no body"

// MismatchError reports a value of one type that was to be decoded into another type.
type MismatchError struct {
	Sent string // the type of the value that was sent
	Want string // the type to decode into
}

func (e *MismatchError) Error() string {
	if e.Sent == noBody {
		return fmt.Sprintf(
			"it has no body, and %s is wanted: send a value, or take a pointer to one, which is nil then",
			e.Want,
		)
	}
	if e.Sent == e.Want { // types that are declared in different functions may share a name
		return fmt.Sprintf("it holds another type with the name %s than is wanted: send and take the same type", e.Sent)
	}
	return fmt.Sprintf("it holds %s, and %s is wanted: send and take the same type", e.Sent, e.Want)
}

// Decode decodes p into the value that v points to, which is set to zero first. Nothing in p makes
// it panic.
func (c *Codec) Decode(p Payload, v any) error {
	if p.Encoding == Bytes || p.Encoding == String {
		p.Data = bytes.Clone(p.Data)
	}
	return c.take(p, v)
}

// takeLeast is the length in bytes from which Take saves a copy: a shorter payload may share its
// memory with others, and would keep them alive.
const takeLeast = 4 << 10

// Take is Decode of a payload whose memory may become the memory of the value: a []byte or a string
// is not copied if it is not short.
func (c *Codec) Take(p Payload, v any) error {
	if len(p.Data) < takeLeast {
		return c.Decode(p, v)
	}
	return c.take(p, v)
}

// take is Decode without the copy of a []byte or a string.
func (c *Codec) take(p Payload, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("the target is %T: pass a pointer to the value to decode into", v)
	}
	target = target.Elem()
	switch p.Encoding {
	case None:
		t := target.Type()
		if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer ||
			t.Kind() == reflect.Struct && t.NumField() == 0 {
			target.SetZero()
			return nil
		}
		return &MismatchError{noBody, typeName(t)}
	case Bytes:
		b := p.Data
		if b == nil {
			b = []byte{}
		}
		if v, ok := v.(*[]byte); ok {
			*v = b
			return nil
		}
		return set(target, b)
	case String:
		s := unsafe.String(unsafe.SliceData(p.Data), len(p.Data))
		if v, ok := v.(*string); ok {
			*v = s
			return nil
		}
		return set(target, s)
	case Gob:
		return c.decodeStream(p.Data, target)
	case GobValue:
		return c.decodeValue(p, target)
	}
	return fmt.Errorf("encoding %d does not exist", p.Encoding)
}

// set sets target, or what it points to, to a []byte or a string.
func set(target reflect.Value, body any) error {
	v := reflect.ValueOf(body)
	t, ok := base(target.Type())
	if !ok || t != v.Type() && (t.Kind() != reflect.Interface || t.NumMethod() > 0) {
		return &MismatchError{typeName(v.Type()), typeName(target.Type())}
	}
	for target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	target.Set(v)
	return nil
}

// decodeStream decodes a self-contained payload.
func (c *Codec) decodeStream(data []byte, target reflect.Value) error {
	name, _, stream, err := cutNames(data)
	if err != nil {
		return err
	}
	t := c.typeOf(target.Type())
	if t.dynamic && t.err == nil {
		return c.decodeInterface(Payload{Encoding: Gob, Data: data}, target)
	}
	if name != t.name {
		return &MismatchError{name, t.name}
	}
	if t.err != nil {
		return t.err
	}
	flat, root, err := flatten(stream)
	if err != nil {
		return err
	}
	if !same(root, t.shape, map[[2]*shape]bool{}) {
		return &MismatchError{name, t.name}
	}
	d := newDecoder()
	d.r.left[0] = flat
	return d.decode(target)
}

// decodeValue decodes a payload that needs definitions.
func (c *Codec) decodeValue(p Payload, target reflect.Value) error {
	t := c.typeOf(target.Type())
	if t.dynamic && t.err == nil {
		return c.decodeInterface(p, target)
	}
	if err := c.check(t, p.Defs); err != nil {
		return err
	}
	if t.engine != nil {
		return t.engine.decode(p.Data, target)
	}
	s := scanner{data: p.Data}
	s.top(t.shape, 0)
	if len(s.data) > 0 {
		s.fail(errGarbled)
	}
	if s.err != nil {
		return s.err
	}
	d, _ := t.decoders.Get().(*primedDecoder)
	if d == nil {
		d = newDecoder()
	}
	d.r.left = [3][]byte{nil, d.r.head[:], p.Data}
	if !d.primed {
		d.r.left[0] = t.messages
		d.primed = true
	}
	id := appendInt(d.r.head[12:12], t.shape.id)
	n := appendUint(d.r.head[:0], uint64(len(id)+len(p.Data)))
	d.r.left[1] = append(n, id...)
	if err := d.decode(target); err != nil {
		return err // d is thrown away, because its state is unknown
	}
	if len(p.Data) <= maxPooled { // gob keeps the last message
		t.decoders.Put(d)
	}
	return nil
}

// check returns an error if values with these definitions may not be decoded into the type.
//
// gob matches structs by the names of their fields and leaves out in silence what one side lacks.
// Here both ends are one program, so the definitions must be those of the target. For unnamed basic
// types gob's own rules hold.
func (c *Codec) check(t *typeInfo, defs uint64) error {
	if t.err == nil && !t.selfContained && t.defs == defs {
		return nil
	}
	blob := c.Definitions(defs)
	if blob == nil {
		return fmt.Errorf(
			"it holds another type than %s, which is wanted, and its type definitions (id %#x) never came",
			t.name,
			defs,
		)
	}
	name, _, root, messages, err := cutBlob(blob)
	if err != nil {
		return err
	}
	if t.err != nil && name == t.name {
		return t.err
	}
	if id := basicIDs[name]; id == 0 || id != basicIDs[t.name] || id != root || len(messages) > 0 {
		return &MismatchError{name, t.name}
	}
	return nil
}

// cutBlob takes definitions apart: the two names of the type, gob's id of it, and the messages.
func cutBlob(blob []byte) (name, short string, root int64, messages []byte, err error) {
	name, short, rest, err := cutNames(blob)
	s := scanner{data: rest, err: err}
	root = s.int()
	return name, short, root, s.data, s.err
}

// basicIDs holds gob's ids of the types that gob converts into each other if their ids are equal.
var basicIDs = map[string]int64{
	"bool": idBool, "int": idInt, "int8": idInt, "int16": idInt, "int32": idInt, "int64": idInt, "uint": idUint,
	"uint8": idUint, "uint16": idUint, "uint32": idUint, "uint64": idUint, "uintptr": idUint, "float32": idFloat,
	"float64": idFloat, "complex64": idComplex, "complex128": idComplex, "string": idString, "[]byte": idBytes,
}

// newDecoder returns a decoder that has not been given definitions.
func newDecoder() *primedDecoder {
	d := &primedDecoder{}
	d.dec = gob.NewDecoder(&d.r)
	return d
}

// decode decodes the value in r.
func (d *primedDecoder) decode(target reflect.Value) (err error) {
	defer func() {
		if err != nil {
			target.SetZero()
		}
		d.r.left = [3][]byte{}
	}()
	defer guard(&err, "decoding")
	// gob leaves fields alone that were zero at the sender, and writes into slices that are there.
	target.SetZero()
	if err := d.dec.DecodeValue(target.Addr()); err != nil {
		return explain(err)
	}
	for _, p := range d.r.left {
		if len(p) > 0 {
			return errors.New("gob left a part of it")
		}
	}
	return nil
}
