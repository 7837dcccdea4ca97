// Package codec turns Go values into bytes and back, with gob, and keeps what gob would otherwise send with every
// message: the definitions of the types.
//
// A gob stream is a row of messages: the definitions of a type, then values of it. A fresh encoder for each value sends
// the definitions each time, and a fresh decoder compiles them each time, which costs some twenty times the value
// itself. A Codec therefore splits the first stream of a type after its definitions, gives these an id made from
// their content, and from then on sends values alone. The two ends exchange definitions by id, ahead of the first value.
//
// A value that holds an interface can bring new definitions at any time. Such a type travels self-contained: definitions
// and value together, every time.
//
// Each process has one Codec. All its methods may be called from any goroutine.
package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// The encodings of a payload.
const (
	None     = iota // no body: nil or struct{}{}
	Bytes           // a []byte as it is
	String          // a string as it is
	Gob             // type name, definitions and value
	GobValue        // one gob value message; the definitions have the id in Defs
)

const (
	maxDefinitions    = 16384    // known to one Codec
	maxDefinitionSize = 1 << 20  // bytes of one
	maxDefinitionsSum = 64 << 20 // bytes of all
)

// Payload is an encoded value.
type Payload struct {
	Encoding uint8
	Defs     uint64 // id of the definitions, if Encoding is GobValue
	Data     []byte
}

// Codec encodes and decodes the values of one process. The zero value is ready for use.
type Codec struct {
	types sync.Map // reflect.Type -> *encoders

	mu       sync.RWMutex
	defs     map[uint64][]byte
	defsSize int

	decoders sync.Map // decoderKey -> *sync.Pool of *primedDecoder
}

// encoders holds what is known of one type that is sent.
type encoders struct {
	name          string // the type's name, with its package's path
	err           error  // why values of this type cannot be sent
	selfContained bool
	pool          sync.Pool // of *primedEncoder
}

type primedEncoder struct {
	buf  bytes.Buffer
	enc  *gob.Encoder
	defs uint64 // 0 until the first value has been encoded
}

// Encode encodes v. The payload shares no memory with v.
func (c *Codec) Encode(v any) (Payload, error) {
	switch v := v.(type) {
	case nil, struct{}:
		return Payload{}, nil
	case []byte:
		return Payload{Encoding: Bytes, Data: bytes.Clone(v)}, nil
	case string:
		return Payload{Encoding: String, Data: []byte(v)}, nil
	}
	t := reflect.TypeOf(v)
	e := c.encodersOf(t)
	if e.err != nil {
		return Payload{}, e.err
	}
	for rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer; rv = rv.Elem() {
		if rv.IsNil() {
			return Payload{}, fmt.Errorf("it is a nil pointer of type %v: send a value, or nil itself for no body", t)
		}
	}
	if e.selfContained {
		buf := bytes.NewBuffer(appendName(nil, e.name))
		if err := gob.NewEncoder(buf).Encode(v); err != nil {
			return Payload{}, explain(err)
		}
		return Payload{Encoding: Gob, Data: buf.Bytes()}, nil
	}
	return c.encodePrimed(e, v)
}

func (c *Codec) encodersOf(t reflect.Type) *encoders {
	if e, ok := c.types.Load(t); ok {
		return e.(*encoders)
	}
	e := &encoders{name: typeName(t)}
	e.selfContained, e.err = inspect(t)
	got, _ := c.types.LoadOrStore(t, e)
	return got.(*encoders)
}

// encodePrimed encodes with an encoder that has sent the definitions before. A failed encoder is thrown away, for
// nobody knows what it counts as sent.
func (c *Codec) encodePrimed(e *encoders, v any) (Payload, error) {
	p, _ := e.pool.Get().(*primedEncoder)
	if p == nil {
		p = &primedEncoder{}
		p.enc = gob.NewEncoder(&p.buf)
	}
	p.buf.Reset()
	if err := p.enc.Encode(v); err != nil {
		return Payload{}, explain(err)
	}
	stream := p.buf.Bytes()
	if p.defs == 0 {
		n, err := lastMessage(stream)
		if err != nil {
			return Payload{}, err
		}
		blob := append(appendName(nil, e.name), stream[:n]...)
		id, err := c.Define(blob)
		if err != nil { // there are more types than a Codec keeps: this one goes self-contained
			return Payload{Encoding: Gob, Data: append(blob, stream[n:]...)}, nil
		}
		p.defs, stream = id, stream[n:]
	}
	payload := Payload{Encoding: GobValue, Defs: p.defs, Data: bytes.Clone(stream)}
	if p.buf.Cap() <= 1<<20 { // one huge value must not stay in memory for ever
		e.pool.Put(p)
	}
	return payload, nil
}

// Define stores definitions, which came from Definitions of another Codec, and returns their id. The id is made from
// the content, so that nobody can put other definitions under an id in use.
func (c *Codec) Define(blob []byte) (uint64, error) {
	sum := sha256.Sum256(blob)
	id := max(binary.LittleEndian.Uint64(sum[:]), 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.defs[id]; ok {
		return id, nil
	}
	switch {
	case len(blob) > maxDefinitionSize:
		return 0, fmt.Errorf("type definitions of %d bytes are over the limit of %d bytes", len(blob), maxDefinitionSize)
	case len(c.defs) >= maxDefinitions || c.defsSize+len(blob) > maxDefinitionsSum:
		return 0, fmt.Errorf("there are already %d type definitions of %d bytes in all", len(c.defs), c.defsSize)
	}
	if c.defs == nil {
		c.defs = map[uint64][]byte{}
	}
	c.defs[id] = bytes.Clone(blob)
	c.defsSize += len(blob)
	return id, nil
}

// Definitions returns the definitions with the id, or nil.
func (c *Codec) Definitions(id uint64) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.defs[id]
}

// appendName appends the name of a type with its length before it.
func appendName(dst []byte, name string) []byte {
	name = name[:min(len(name), 1<<16-1)]
	return append(binary.LittleEndian.AppendUint16(dst, uint16(len(name))), name...)
}

var errShort = errors.New("it is cut short")

// cutName takes the name of a type from the start of b.
func cutName(b []byte) (name string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, errShort
	}
	n := int(binary.LittleEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, errShort
	}
	return string(b[2 : 2+n]), b[2+n:], nil
}

// gobUint reads an unsigned number as gob writes it: a byte below 128, or the negated count of big-endian bytes.
// Source: the documentation of encoding/gob, "Encoding Details".
func gobUint(b []byte) (v uint64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, errShort
	}
	if b[0] < 128 {
		return uint64(b[0]), 1, nil
	}
	n := -int(int8(b[0]))
	if n > 8 || len(b) < 1+n {
		return 0, 0, errShort
	}
	for _, x := range b[1 : 1+n] {
		v = v<<8 | uint64(x)
	}
	return v, 1 + n, nil
}

// lastMessage returns where the last message of a gob stream begins.
func lastMessage(stream []byte) (int, error) {
	for at := 0; ; {
		v, size, err := gobUint(stream[at:])
		if err != nil {
			return 0, err
		}
		next := at + size + int(v)
		if v > uint64(len(stream)) || next > len(stream) {
			return 0, errShort
		}
		if next == len(stream) {
			return at, nil
		}
		at = next
	}
}

// isValue reports whether b is exactly one gob message, and that a value and not a definition.
func isValue(b []byte) bool {
	at, err := lastMessage(b)
	if err != nil || at != 0 {
		return false
	}
	_, size, _ := gobUint(b)
	id, _, err := gobUint(b[size:]) // a signed number: the lowest bit says whether it is negated
	return err == nil && id&1 == 0
}
