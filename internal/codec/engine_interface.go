package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"
)

// This file is how an engine writes and reads what an interface holds. Before it stands a tag. The
// value of a plain type follows as its own engine writes it. Another type must be known to
// gob.Register, and its values have the id of its definitions before them. The payload begins with
// the cards of all such types. What no engine can write is a stream of gob.

// holder is what gob encodes if no engine can encode what is behind an interface.
type holder struct {
	Value any // what the interface holds
}

// appendHeld implements holding.
func (c *Codec) appendHeld(e *engine, b []byte, p unsafe.Pointer, left int) ([]byte, error) {
	var t reflect.Type
	if e.typ.NumMethod() == 0 {
		t = reflect.TypeOf(*(*any)(p))
	} else if v := reflect.NewAt(e.typ, p).Elem(); !v.IsNil() {
		t = v.Elem().Type()
	}
	if t == nil {
		return append(b, tagNil), nil
	}
	info := c.typeOf(t)
	if info.err != nil {
		return b, info.err // something would be left out
	}
	held, isNil := heldAt(t, info, p)
	switch {
	case isNil:
		return b, fmt.Errorf("an interface holds a nil %v, which has no value to send: hold nil itself", t)
	case info.tag == 0:
		return c.appendRegistered(b, info, held, reflect.NewAt(e.typ, p).Elem().Elem(), left)
	case info.engine.holdsNil(held):
		return append(b, tagNone, info.tag), nil
	}
	return info.engine.appendValue(append(b, info.tag), held, left)
}

// heldAt returns where the value lies that is behind the interface at p, and behind all pointers in
// it; or whether one of the pointers is nil. If the type has no engine, it returns nil.
func heldAt(t reflect.Type, info *typeInfo, p unsafe.Pointer) (held unsafe.Pointer, isNil bool) {
	word := &(*iface)(p).data
	if t.Kind() != reflect.Pointer {
		if info.engine != nil && info.engine.direct {
			return unsafe.Pointer(word), false
		}
		return *word, false
	}
	held = *word
	for t = t.Elem(); t.Kind() == reflect.Pointer && held != nil; t = t.Elem() {
		held = *(*unsafe.Pointer)(held)
	}
	return held, held == nil
}

// holdsNil reports whether the value at p is a nil slice or a nil map.
func (e *engine) holdsNil(p unsafe.Pointer) bool {
	switch e.op {
	case opSlice, opBytes:
		return (*sliceHeader)(p).data == nil
	case opMap:
		return *(*unsafe.Pointer)(p) == nil
	}
	return false
}

// appendRegistered appends a value v behind an interface whose type must be known to gob.Register.
// The value lies at held, if its type has an engine.
func (c *Codec) appendRegistered(
	b []byte, info *typeInfo, held unsafe.Pointer, v reflect.Value, left int,
) ([]byte, error) {
	card, err := c.cardOf(info)
	switch {
	case err != nil:
		return b, err
	case len(card) == 0:
		return c.appendGob(b, v)
	case left < walked/2:
		return b, errWalk
	case info.addressable && v.Kind() != reflect.Pointer: // its method must not change what the interface holds
		own := reflect.New(v.Type())
		own.Elem().Set(v)
		held = own.UnsafePointer()
	}
	b = binary.LittleEndian.AppendUint64(append(b, tagCard), info.defs)
	return info.engine.appendValue(b, held, left)
}

// appendCards implements holding. It appends the cards of all types that need one: their number,
// and of each the name of the type for gob.Register, its definitions and a zero value, for the
// other end to find the type with.
func (c *Codec) appendCards(b []byte, v reflect.Value) ([]byte, error) {
	var carded []*typeInfo
	var cards []byte
	err := c.walk(v, maxDepth, false, func(t *typeInfo) error {
		if t.tag != 0 || slices.Contains(carded, t) {
			return nil
		}
		card, err := c.cardOf(t)
		if len(card) > 0 {
			carded, cards = append(carded, t), append(cards, card...)
		}
		return err
	})
	return append(appendUint(b, uint64(len(carded))), cards...), err
}

// cardOf returns the card of a type, or an error if gob.Register does not know the type. The card
// is empty if the type has no engine, or if gob knows the type but cannot say by which name.
func (c *Codec) cardOf(info *typeInfo) ([]byte, error) {
	if info.engine == nil {
		return nil, nil
	}
	if card := info.card.Load(); card != nil {
		return *card, nil
	}
	name, err := registeredName(info.engine.typ)
	if err != nil {
		return nil, err
	}
	var card []byte
	if name != "" {
		zero, err := info.engine.append(nil, reflect.New(info.engine.typ).UnsafePointer(), shallow)
		card = appendMessage(appendMessage(appendMessage(nil, []byte(name)), info.blob), zero)
		if err != nil || len(card) > maxCardSize {
			card = nil
		}
	}
	info.card.Store(&card)
	return card, nil
}

// maxCardSize is how many bytes the card of a type may have.
const maxCardSize = 1 << 20

// registeredName returns the name by which gob.Register knows a type. gob tells it only in what it
// encodes, and so gob encodes a zero value. If it cannot, or cannot decode that, the name is "".
func registeredName(t reflect.Type) (name string, err error) {
	var stream []byte
	err = func() (err error) {
		defer guard(&err, "encoding")
		var buf bytes.Buffer
		if err := gob.NewEncoder(&buf).Encode(holder{reflect.New(t).Interface()}); err != nil {
			return err
		}
		stream = bytes.Clone(buf.Bytes())
		return gob.NewDecoder(&buf).Decode(new(holder))
	}()
	if err != nil {
		if strings.Contains(err.Error(), "not registered for interface: "+t.String()) {
			return "", explain(err)
		}
		return "", nil
	}
	s, _, err := parse(stream, nil)
	if err != nil {
		return "", nil
	}
	out := scanner{data: s.out}
	out.int()  // the type of the holder
	out.uint() // its field
	return string(out.bytes()), nil
}

// appendGob appends a value behind an interface as a stream of gob.
func (c *Codec) appendGob(b []byte, v reflect.Value) ([]byte, error) {
	if err := c.inspect(v, maxDepth); err != nil {
		return b, err
	}
	var buf bytes.Buffer
	if err := c.encodeByGob(gob.NewEncoder(&buf), reflect.ValueOf(holder{v.Interface()})); err != nil {
		return b, err
	}
	return appendMessage(append(b, tagGob), buf.Bytes()), nil
}

// readHeld implements holding.
func (c *Codec) readHeld(e *engine, r reader, p unsafe.Pointer, depth int) reader {
	c.readInterface(e, &r, p, depth)
	return r
}

// readInterface reads what an interface holds into the nil interface at p.
func (c *Codec) readInterface(e *engine, r *reader, p unsafe.Pointer, depth int) {
	tag := r.uint()
	if e.typ.NumMethod() == 0 {
		switch at := (*any)(p); tag {
		case tagBool:
			*at = r.uint() != 0
			return
		case tagFloat64:
			*at = r.float64()
			return
		case tagString:
			*at = r.text()
			return
		}
	}
	var v reflect.Value
	switch tag {
	case tagNil:
		return
	case tagNone:
		t := plainType(r.uint())
		if t == nil || t.Kind() != reflect.Slice && t.Kind() != reflect.Map {
			r.fail(errGarbled)
			return
		}
		v = reflect.Zero(t)
	case tagCard:
		t := r.cards[r.eight()]
		if t == nil {
			r.fail(errGarbled)
			return
		}
		v = c.readBehind(r, t, depth+1)
	case tagGob:
		v = c.readGob(r)
	default:
		t := plainType(tag)
		if t == nil {
			r.fail(errGarbled)
			return
		}
		if v = c.readBehind(r, t, depth+1); v.Kind() == reflect.Slice && v.IsNil() {
			v = reflect.MakeSlice(t, 0, 0) // a nil slice has another tag
		}
	}
	if r.err != nil || !v.IsValid() {
		return
	}
	if !v.Type().AssignableTo(e.typ) {
		r.fail(&MismatchError{typeName(v.Type()), typeName(e.typ)})
		return
	}
	reflect.NewAt(e.typ, p).Elem().Set(v)
}

// plainType returns the plain type with a tag, or nil.
func plainType(tag uint64) reflect.Type {
	if tag < firstPlain || tag-firstPlain >= uint64(len(plainTypes)) {
		return nil
	}
	return plainTypes[tag-firstPlain]
}

// readBehind reads a value of a type that has an engine, or of pointers to such a type.
func (c *Codec) readBehind(r *reader, t reflect.Type, depth int) reflect.Value {
	v := reflect.New(t).Elem()
	to := v
	for to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	c.typeOf(t).engine.read(r, to.Addr().UnsafePointer(), depth)
	return v
}

// readCards implements holding.
func (c *Codec) readCards(r reader) reader {
	for n := r.count(3); n > 0; n-- {
		from := r.at
		name, blob, zero := r.bytes(), r.bytes(), r.bytes()
		if r.err == nil && r.at-from > maxCardSize {
			r.fail(errGarbled)
		}
		if r.err != nil {
			break
		}
		t, err := c.typeOnCard(r.data[from:r.at], string(name), blob, zero)
		if err != nil {
			r.fail(err)
			break
		}
		if r.cards == nil {
			r.cards = map[uint64]reflect.Type{}
		}
		r.cards[c.typeOf(t).defs] = t
	}
	return r
}

// typeOnCard returns the type that a card names: the type that gob.Register knows by the name, if
// its definitions are those on the card.
func (c *Codec) typeOnCard(card []byte, name string, blob, zero []byte) (reflect.Type, error) {
	if t, ok := c.cards.Load(string(card)); ok {
		return t.(reflect.Type), nil
	}
	sent, _, root, messages, err := cutBlob(blob)
	if err != nil {
		return nil, err
	}
	value := append(appendInt(nil, root), zero...)
	s, shape, err := parse(append(bytes.Clone(messages), appendMessage(nil, value)...), nil)
	if err != nil {
		return nil, err
	}
	v, err := s.behind(name, shape)
	if err != nil {
		return nil, err
	}
	t := reflect.TypeOf(v)
	if t == nil {
		return nil, errGarbled
	}
	if info := c.typeOf(t); info.err != nil || info.engine == nil || !bytes.Equal(info.blob, blob) {
		return nil, &MismatchError{sent, typeName(t)}
	}
	c.cards.Store(string(card), t) // few: only what the types are that gob knows gets here
	return t, nil
}

// readGob reads what an interface holds from a stream of gob.
func (c *Codec) readGob(r *reader) reflect.Value {
	var h holder
	data := r.bytes()
	if r.err != nil {
		return reflect.Value{}
	}
	flat, root, err := flatten(data)
	if err == nil && !same(root, c.typeOf(reflect.TypeFor[holder]()).shape, map[[2]*shape]bool{}) {
		err = errGarbled
	}
	if err == nil {
		d := newDecoder()
		d.r.left[0] = flat
		err = d.decode(reflect.ValueOf(&h).Elem())
	}
	if err != nil {
		r.fail(err)
	}
	return reflect.ValueOf(h.Value)
}
