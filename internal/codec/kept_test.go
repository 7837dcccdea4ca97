package codec_test

import (
	"encoding"
	"encoding/gob"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file says what engines keep of a value, and what gob alone would lose of it.

// opaque reports whether the values of a type encode themselves.
func opaque(t reflect.Type) bool {
	for _, i := range []reflect.Type{reflect.TypeFor[gob.GobEncoder](), reflect.TypeFor[encoding.BinaryMarshaler]()} {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

// opaqueKey reports whether two different keys of a map may arrive as one, for what methods make of
// them.
func opaqueKey(t reflect.Type) bool {
	switch {
	case opaque(t), t.Kind() == reflect.Pointer: // each pointer is a key of its own
		return true
	case t.Kind() == reflect.Array:
		return opaqueKey(t.Elem())
	case t.Kind() == reflect.Struct:
		for f := range t.Fields() {
			if opaqueKey(f.Type) {
				return true
			}
		}
	}
	return false
}

// behindPointers follows pointers, and reports whether none is nil.
func behindPointers(v reflect.Value) (reflect.Value, bool) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	return v, true
}

// gobLoses reports whether gob alone would lose something of v that an engine keeps: in a field, a
// zero behind a pointer, an empty slice, and -0.
func gobLoses(v reflect.Value) bool {
	v, ok := behindPointers(v)
	if !ok || opaque(v.Type()) {
		return false
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if gobLoses(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if gobLoses(it.Key()) || gobLoses(it.Value()) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); v.Type().Field(i).IsExported() && (gobLoses(f) || gobOmits(f) && !allZero(f)) {
				return true
			}
		}
	}
	return false
}

// allZero is reflect.Value.IsZero, but for -0.
func allZero(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(v.Float()) == 0
	case reflect.Complex64, reflect.Complex128:
		return math.Float64bits(real(v.Complex())) == 0 && math.Float64bits(imag(v.Complex())) == 0
	}
	return v.IsZero()
}

// gobOmits reports whether gob leaves out a field with the value.
func gobOmits(v reflect.Value) bool {
	v, ok := behindPointers(v)
	if !ok || opaque(v.Type()) {
		return false // as by an engine
	}
	switch v.Kind() {
	case reflect.Slice:
		return v.Len() == 0
	case reflect.Float32, reflect.Float64:
		return v.Float() == 0
	case reflect.Complex64, reflect.Complex128:
		return v.Complex() == 0
	case reflect.Struct, reflect.Array:
		return false
	}
	return v.IsZero()
}

// loosely is equal, but takes for one what gob does.
func loosely(a, b reflect.Value) error { return alike(a, b, true, false) }

// kept compares a value with what has become of it, and says what was lost. It knows what the
// package documentation says of that.
func kept(sent, got reflect.Value) error { return alike(sent, got, false, false) }

func alike(a, b reflect.Value, loose, inField bool) error {
	differ := func() error { return fmt.Errorf("%v: %v has become %v", a.Type(), a, b) }
	if opaque(a.Type()) {
		if a.CanInterface() && b.CanInterface() {
			switch x := a.Interface().(type) {
			case time.Time:
				if !x.Equal(b.Interface().(time.Time)) {
					return differ()
				}
			case big.Int:
				y := b.Interface().(big.Int)
				if x.Cmp(&y) != 0 {
					return differ()
				}
			}
		}
		return nil
	}
	switch a.Kind() {
	case reflect.Pointer:
		x, okX := behindPointers(a)
		y, okY := behindPointers(b)
		switch {
		case okX && okY:
			return alike(x, y, loose, false)
		case loose && inField && (okX && gobOmits(x) || okY && (gobOmits(y) || y.Kind() == reflect.Map && y.Len() == 0)): // it was left out
			return nil
		case okX != okY:
			return differ()
		}
		return nil
	case reflect.Slice:
		if a.Len() != b.Len() || !loose && inField && a.IsNil() != b.IsNil() {
			return differ()
		}
		for i := range a.Len() {
			if err := alike(a.Index(i), b.Index(i), loose, false); err != nil {
				return err
			}
		}
	case reflect.Array:
		for i := range a.Len() {
			if err := alike(a.Index(i), b.Index(i), loose, false); err != nil {
				return err
			}
		}
	case reflect.Map:
		if opaqueKey(a.Type().Key()) {
			return nil
		}
		if a.Len() != b.Len() || inField && a.IsNil() != b.IsNil() {
			return differ()
		}
		for it := a.MapRange(); it.Next(); {
			if v := b.MapIndex(it.Key()); v.IsValid() { // NaN and pointers are no keys to look up
				if err := alike(it.Value(), v, loose, false); err != nil {
					return err
				}
			}
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() {
				if err := alike(a.Field(i), b.Field(i), loose, true); err != nil {
					return err
				}
			}
		}
	case reflect.Float32, reflect.Float64:
		if math.Float64bits(a.Float()) != math.Float64bits(b.Float()) && !(loose && a.Float() == b.Float()) {
			return differ()
		}
	case reflect.Complex64, reflect.Complex128:
		if fmt.Sprintf("%b", a.Complex()) != fmt.Sprintf("%b", b.Complex()) && !(loose && a.Complex() == b.Complex()) {
			return differ()
		}
	case reflect.Interface:
		if a.IsNil() != b.IsNil() {
			return differ()
		}
		if !a.IsNil() {
			return alike(a.Elem(), b.Elem(), loose, false)
		}
	default:
		if !a.Equal(b) {
			return differ()
		}
	}
	return nil
}

// Optional has fields that a user may leave out, and may set to zero.
type Optional struct {
	Flag     *bool
	Number   *int
	Small    *int8
	Unsigned *uint16
	Float    *float64
	Float32  *float32
	Complex  *complex128
	Text     *string
	Bytes    *[]byte
	Level    *Level
	List     []int
	Raw      []byte
	Words    []Label
	Structs  []Small
	Pointers []*Small
	Map      map[string]int
	Zero     float64
	Zero32   float32
	ZeroC    complex64
	Deep     **int
	Struct   *Small
	At       *time.Time
	Nested   struct{ Flag *bool }
	Others   []struct{ Flag *bool }
	ByName   map[string]struct{ List []string }
}

// Optional fields arrive as they were sent: what is nil as nil, and what is there as what is there.
func TestOptionalFieldsAreKept(t *testing.T) {
	minus := math.Copysign(0, -1)
	all := Optional{
		Flag:     new(bool),
		Number:   new(int),
		Small:    new(int8),
		Unsigned: new(uint16),
		Float:    new(float64),
		Float32:  new(float32),
		Complex:  new(complex128),
		Text: new(
			string,
		),
		Bytes:    &[]byte{1},
		Level:    new(Level),
		List:     []int{},
		Raw:      []byte{},
		Words:    []Label{},
		Structs:  []Small{},
		Pointers: []*Small{},
		Map:      map[string]int{},
		Zero:     minus,
		Zero32:   float32(minus),
		ZeroC:    complex(0, float32(minus)),
		Deep:     ptrTo(new(int)),
		Struct:   &Small{},
		At:       &time.Time{},
		Nested:   struct{ Flag *bool }{new(bool)},
		Others:   []struct{ Flag *bool }{{nil}, {new(bool)}, {ptrTo(true)}},
		ByName:   map[string]struct{ List []string }{"nil": {}, "empty": {[]string{}}, "one": {[]string{""}}},
	}
	for _, v := range []Optional{{}, all, {Float: &minus, Text: ptrTo("x"), List: []int{1}}} {
		var from, to codec.Codec
		var got Optional
		require.NoError(t, to.Decode(encode(t, &from, &to, v), &got))
		require.Equal(t, v, got)
		require.NoError(t, kept(reflect.ValueOf(v), reflect.ValueOf(got)))
		var old Optional // gob itself reads the bytes
		require.NoError(t, codec.GobOnly().Decode(encode(t, &from, &to, v), &old))
		require.NoError(t, loosely(reflect.ValueOf(v), reflect.ValueOf(old)))
		require.Equal(t, v.Flag, old.Flag)
	}
	require.True(t, gobLoses(reflect.ValueOf(all)))
}
