package codec

import (
	"math"
	"reflect"
	"unsafe"
)

// Coder encodes and decodes values of the type T as its Codec does. If an engine can take all
// values of the type, the Coder looks the type up once, and puts no value into an interface, which
// costs more than the bytes of a short value do. Any goroutine may use it.
type Coder[T any] struct {
	codec *Codec    // the Codec of the process
	info  *typeInfo // what is known of T; nil if the Codec has to look at each value
}

// CoderOf returns the Coder of a type.
func CoderOf[T any](c *Codec) Coder[T] {
	switch t := reflect.TypeFor[T](); t.Kind() {
	case reflect.Interface, reflect.Pointer: // the value behind them decides, each time
	default:
		if i := c.typeOf(t); i.err == nil && i.engine != nil && !i.inspected && t != bytesType && t != stringType &&
			t != reflect.TypeFor[struct{}]() {
			return Coder[T]{c, i}
		}
	}
	return Coder[T]{c, nil}
}

// AppendEncode is Codec.AppendEncode of the value that v points to.
func (k Coder[T]) AppendEncode(dst []byte, v *T) ([]byte, Payload, error) {
	if k.info == nil {
		return k.codec.AppendEncode(dst, *v)
	}
	b, err := k.info.engine.append(dst, unsafe.Pointer(v), math.MaxInt)
	if err != nil {
		return dst, Payload{}, err
	}
	k.codec.keep(k.info)
	return b, Payload{Encoding: GobValue, Defs: k.info.defs, Data: b[len(dst):len(b):len(b)]}, nil
}

// Decode is Codec.Decode.
func (k Coder[T]) Decode(p Payload, v *T) error {
	if k.info == nil || p.Encoding != GobValue || p.Defs != k.info.defs {
		return k.codec.Decode(p, v)
	}
	var zero T
	*v = zero
	err := k.info.engine.decodeAt(p.Data, unsafe.Pointer(v))
	if err != nil {
		*v = zero
	}
	return err
}
