package codec

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"sync"
)

type decoderKey struct {
	defs   uint64
	target reflect.Type
}

// primedDecoder has read the definitions before; each value goes through r.
type primedDecoder struct {
	r   bytes.Reader
	dec *gob.Decoder
}

// MismatchError reports a value of one type that was to be decoded into another.
type MismatchError struct {
	Sent string // type of the value that was sent
	Want string // type to decode into
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("it holds %s, and %s is wanted: send and take the same type", e.Sent, e.Want)
}

// Decode decodes p into the value that v points to. Nothing in p makes it panic.
func (c *Codec) Decode(p Payload, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("the target is %T: pass a pointer to the value to decode into", v)
	}
	t := target.Type().Elem()
	switch p.Encoding {
	case None:
		if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer || t.Kind() == reflect.Struct && t.NumField() == 0 {
			target.Elem().SetZero()
			return nil
		}
		return &MismatchError{"no body", typeName(t)}
	case Bytes:
		switch v := v.(type) {
		case *[]byte:
			*v = bytes.Clone(p.Data)
			if *v == nil {
				*v = []byte{}
			}
		case *any:
			*v = bytes.Clone(p.Data)
		default:
			return &MismatchError{"[]byte", typeName(t)}
		}
		return nil
	case String:
		switch v := v.(type) {
		case *string:
			*v = string(p.Data)
		case *any:
			*v = string(p.Data)
		default:
			return &MismatchError{"string", typeName(t)}
		}
		return nil
	case Gob:
		name, stream, err := cutName(p.Data)
		if err != nil {
			return err
		}
		if err := compatible(name, t); err != nil {
			return err
		}
		d := &primedDecoder{}
		d.dec = gob.NewDecoder(&d.r)
		return d.decode(stream, v)
	case GobValue:
		return c.decodePrimed(p, v, t)
	}
	return fmt.Errorf("encoding %d does not exist", p.Encoding)
}

func (c *Codec) decodePrimed(p Payload, v any, t reflect.Type) error {
	if !isValue(p.Data) {
		return errors.New("it is not one gob value")
	}
	key := decoderKey{p.Defs, t}
	pool, ok := c.decoders.Load(key)
	var d *primedDecoder
	if ok {
		d, _ = pool.(*sync.Pool).Get().(*primedDecoder)
	}
	stream := p.Data
	if d == nil {
		blob := c.Definitions(p.Defs)
		if blob == nil {
			return fmt.Errorf("its type definitions (id %#x) never came", p.Defs)
		}
		name, defs, err := cutName(blob)
		if err != nil {
			return err
		}
		if err := compatible(name, t); err != nil {
			return err
		}
		d = &primedDecoder{}
		d.dec = gob.NewDecoder(&d.r)
		stream = append(bytes.Clone(defs), stream...)
	}
	if err := d.decode(stream, v); err != nil {
		return err // and d is thrown away: its state is unknown
	}
	if !ok {
		pool, _ = c.decoders.LoadOrStore(key, &sync.Pool{})
	}
	pool.(*sync.Pool).Put(d)
	return nil
}

// decode decodes one value. A panic of gob, or of a GobDecode method, on hostile bytes becomes an error: bytes that come
// from a worker must not end the main process.
func (d *primedDecoder) decode(stream []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding it panicked: %v", r)
		}
	}()
	d.r.Reset(stream)
	if err := d.dec.Decode(v); err != nil {
		return explain(err)
	}
	if n := d.r.Len(); n > 0 {
		return fmt.Errorf("%d bytes follow the value", n)
	}
	d.r.Reset(nil)
	return nil
}

// compatible reports whether a value of the type with the name may be decoded into t. gob matches structs by the names of
// their fields and leaves out in silence what one side lacks; here both ends are one binary, so any other struct is a
// mistake. Between unnamed basic types gob's own rules hold.
func compatible(name string, t reflect.Type) error {
	if want := typeName(t); name != want && (!basic[name] || !basic[want]) {
		return &MismatchError{name, want}
	}
	return nil
}

var basic = map[string]bool{
	"bool": true, "int": true, "int8": true, "int16": true, "int32": true, "int64": true, "uint": true, "uint8": true,
	"uint16": true, "uint32": true, "uint64": true, "uintptr": true, "float32": true, "float64": true, "complex64": true,
	"complex128": true, "string": true, "[]uint8": true,
}
