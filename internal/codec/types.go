package codec

import (
	"encoding"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// This file is what the codec finds out about a Go type: its name, its shape, and what cannot be
// sent.

// typeName names a type with the paths of its packages. It names the type below any pointers,
// because gob sends the value behind them. Types that are declared in different functions of one
// package can share a name; their shapes tell them apart.
func typeName(t reflect.Type) string {
	t, _ = base(t)
	if t.Name() != "" {
		if t.PkgPath() == "" {
			return t.Name()
		}
		return t.PkgPath() + "." + t.Name()
	}
	part := func(t reflect.Type) string {
		if t.Name() == "" && t.Kind() == reflect.Pointer {
			return "*" + typeName(t)
		}
		return typeName(t)
	}
	switch t.Kind() {
	case reflect.Slice:
		if t == bytesType {
			return "[]byte" // as users write it
		}
		return "[]" + part(t.Elem())
	case reflect.Array:
		return "[" + strconv.Itoa(t.Len()) + "]" + part(t.Elem())
	case reflect.Map:
		return "map[" + part(t.Key()) + "]" + part(t.Elem())
	case reflect.Struct:
		var fields []string
		for f := range t.Fields() {
			fields = append(fields, f.Name+" "+part(f.Type))
		}
		return "struct {" + strings.Join(fields, "; ") + "}"
	}
	return t.String()
}

// maxPointers is how many pointers in a row a type may have. It is gob's own limit.
const maxPointers = 100

// base returns the type that a type of pointers leads to in the end. It returns false for a type of
// pointers without end.
func base(t reflect.Type) (reflect.Type, bool) {
	for range maxPointers {
		if t.Kind() != reflect.Pointer {
			return t, true
		}
		t = t.Elem()
	}
	return t, false
}

var (
	gobEncoder        = reflect.TypeFor[gob.GobEncoder]()
	gobDecoder        = reflect.TypeFor[gob.GobDecoder]()
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// description gathers what gob would send of a type, and of all types in it. One goroutine uses it.
type description struct {
	shapes      map[reflect.Type]*shape // the types that were begun so far
	open        map[reflect.Type]bool   // the types that are being described
	defs        []*shape                // the types that need definitions, in the order of their ids
	dynamic     bool                    // one of the types is an interface
	recursive   bool                    // one of the types holds itself, by way of a pointer, slice or map
	addressable bool                    // a method that encodes one of the types has a pointer receiver
	nilElement  bool                    // one of the types has elements that gob panics at if they are nil pointers
}

// describe walks over everything that gob would send of a type, and refuses what gob would leave
// out in silence or could not decode.
func describe(t reflect.Type) (*shape, *description, error) {
	d := &description{shapes: map[reflect.Type]*shape{}, open: map[reflect.Type]bool{}}
	s, err := d.shapeOf(t, typeName(t))
	return s, d, err
}

// shapeOf returns the shape of a type. The path says to users where in the described type it
// stands.
func (d *description) shapeOf(t reflect.Type, path string) (*shape, error) {
	t, ok := base(t)
	if !ok {
		return nil, fmt.Errorf("%s is a type of pointers without end", path)
	}
	if s := d.shapes[t]; s != nil {
		d.recursive = d.recursive || d.open[t]
		return s, nil
	}
	form, err := d.formOf(t, path)
	if err != nil {
		return nil, err
	}
	if form == basic {
		return d.basicOf(t, path)
	}
	s := &shape{form: form, id: firstID + int64(len(d.defs))}
	d.shapes[t], d.open[t] = s, true
	d.defs = append(d.defs, s)
	switch form {
	case array:
		s.len = t.Len()
		s.elem, err = d.shapeOf(t.Elem(), path)
		d.nilElement = d.nilElement || encodesByValue(t.Elem())
	case slice:
		s.elem, err = d.shapeOf(t.Elem(), path)
		d.nilElement = d.nilElement || encodesByValue(t.Elem())
	case mapping:
		d.nilElement = d.nilElement || encodesByValue(t.Key()) || encodesByValue(t.Elem())
		if s.key, err = d.shapeOf(t.Key(), path+" key"); err == nil {
			s.elem, err = d.shapeOf(t.Elem(), path+" element")
		}
	case structure:
		for f := range t.Fields() {
			if !f.IsExported() {
				if lost := promoted(f, nil); lost != "" {
					return nil, fmt.Errorf(
						"%s.%s is a field of the embedded %s, whose name is in lower case, and would be left out in "+
							"silence: "+
							"embed an exported type, or give the field a name that begins with a capital",
						path,
						lost,
						f.Name,
					)
				}
				continue
			}
			var fs *shape
			if fs, err = d.shapeOf(f.Type, path+"."+f.Name); err != nil {
				break
			}
			s.fields = append(s.fields, field{f.Name, fs})
		}
		if err == nil && len(s.fields) == 0 && t.NumField() > 0 {
			err = fmt.Errorf("%s has no exported fields, so nothing of it would be sent: "+
				"export the fields that are to be sent, or unexport the field that holds it", path)
		}
	}
	d.open[t] = false
	return s, err
}

// basicOf is shapeOf for a type whose form is basic.
func (d *description) basicOf(t reflect.Type, path string) (*shape, error) {
	switch t.Kind() {
	case reflect.Bool:
		return basics[idBool], nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return basics[idInt], nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return basics[idUint], nil
	case reflect.Float32, reflect.Float64:
		return basics[idFloat], nil
	case reflect.Complex64, reflect.Complex128:
		return basics[idComplex], nil
	case reflect.String:
		return basics[idString], nil
	case reflect.Slice:
		return basics[idBytes], nil
	case reflect.Interface:
		d.dynamic = true
		return basics[idInterface], nil
	}
	return nil, fmt.Errorf("%s is a %v, which cannot cross to another process and would be left out in silence: "+
		"unexport the field or leave it out of the message", path, t.Kind())
}

// formOf returns the form of a type that is no pointer.
func (d *description) formOf(t reflect.Type, path string) (form, error) {
	has := func(i reflect.Type) bool {
		return t.Implements(i) || t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(i)
	}
	encode, decode := basic, basic // as in gob, gob's own methods go before those of package encoding
	switch {
	case has(gobEncoder):
		encode = gobEncoded
	case has(binaryMarshaler):
		encode = binaryMarshaled
	}
	switch {
	case has(gobDecoder):
		decode = gobEncoded
	case has(binaryUnmarshaler):
		decode = binaryMarshaled
	}
	methods := map[form]string{
		gobEncoded:      "GobEncode and GobDecode",
		binaryMarshaled: "MarshalBinary and UnmarshalBinary",
	}
	switch {
	case encode != decode:
		return 0, fmt.Errorf("%s has one of the methods %s and not the other, so that it could not be decoded",
			path, methods[max(encode, decode)])
	case encode == basic:
	case t.Kind() == reflect.Interface:
		return 0, fmt.Errorf(
			"%s is an interface with the methods %s, so that gob would not say which type is behind it: "+
				"use an interface without them",
			path,
			methods[encode],
		)
	default:
		if lost := hidden(t, encode); lost != "" {
			return 0, fmt.Errorf("%s has the methods %s from the field embedded in it, so that they would encode that "+
				"field alone, and %s would be left out in silence: give the embedded field a name",
				path, methods[encode], lost)
		}
		d.addressable = d.addressable || !encodesItself(t)
		return encode, nil
	}
	switch t.Kind() {
	case reflect.Array:
		return array, nil
	case reflect.Map:
		return mapping, nil
	case reflect.Struct:
		return structure, nil
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return slice, nil
		}
	}
	return basic, nil
}

// promoted returns an exported field of the struct that is embedded as the field f, or "". Because
// the name of f is in lower case, the exported field would be lost. The types around it are in
// seen.
func promoted(f reflect.StructField, seen []reflect.Type) string {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !f.Anonymous || t.Kind() != reflect.Struct || slices.Contains(seen, t) {
		return ""
	}
	for inner := range t.Fields() {
		if inner.IsExported() {
			return inner.Name
		}
		if name := promoted(inner, append(seen, t)); name != "" {
			return name
		}
	}
	return ""
}

// hidden returns an exported field that is lost because the method that encodes its struct comes
// from another field, which is embedded. The compiler writes such methods, and calls their file
// <autogenerated>.
func hidden(t reflect.Type, encode form) (field string) {
	if t.Kind() != reflect.Struct {
		return ""
	}
	method := gobEncoder
	if encode == binaryMarshaled {
		method = binaryMarshaler
	}
	embeds := false
	for f := range t.Fields() {
		switch {
		case f.Anonymous && (f.Type.Implements(method) || reflect.PointerTo(f.Type).Implements(method)):
			embeds = true
		case f.IsExported() && field == "":
			field = f.Name
		}
	}
	if !embeds || field == "" {
		return ""
	}
	var m reflect.Method
	var ok bool
	if encode == gobEncoded { // because the names are constant, the linker can drop methods that nobody calls
		if m, ok = t.MethodByName("GobEncode"); !ok {
			m, ok = reflect.PointerTo(t).MethodByName("GobEncode")
		}
	} else if m, ok = t.MethodByName("MarshalBinary"); !ok {
		m, ok = reflect.PointerTo(t).MethodByName("MarshalBinary")
	}
	if !ok {
		return ""
	}
	fn := runtime.FuncForPC(m.Func.Pointer())
	if file, _ := fn.FileLine(fn.Entry()); file != "<autogenerated>" {
		return ""
	}
	return field
}

// errNilElem says that a value has a nil pointer where gob cannot express one.
var errNilElem = errors.New(
	"a nil pointer is among its elements, where gob knows none: leave it out, or hold it in a field of a struct",
)

// EncodesItself reports whether a type, or the pointer to it, has a method that encodes it.
func EncodesItself(t reflect.Type) bool {
	return encodesItself(t) || encodesItself(reflect.PointerTo(t))
}

// encodesItself reports whether a type has a method that encodes it.
func encodesItself(t reflect.Type) bool {
	return t.Implements(gobEncoder) || t.Implements(binaryMarshaler)
}

// encodesByValue reports whether a type is a pointer to a type that is encoded by a method with a
// value receiver. gob calls this method also for a nil pointer in a slice, array or map, and it
// panics.
func encodesByValue(t reflect.Type) bool {
	b, ok := base(t)
	return ok && b != t && encodesItself(b)
}

// explain adds to an error of gob, if it is one, how to mend what it reports.
func explain(err error) error {
	if err == nil {
		return nil
	}
	switch s := err.Error(); {
	case strings.Contains(s, "not registered for interface"):
		return fmt.Errorf(
			"%w: call gob.Register with a value of the type that is behind the interface, in main before Run",
			err,
		)
	case strings.HasPrefix(s, "gob: ") && strings.Contains(s, "nil element"):
		return fmt.Errorf("%w (%w)", errNilElem, err)
	case strings.Contains(s, "has no exported fields"): // behind an interface, where describe does not look
		return fmt.Errorf("%w: export the fields that are to be sent", err)
	case strings.Contains(s, "unaddressable value"):
		return fmt.Errorf("%w: its method that encodes has a pointer receiver, so hold a pointer to it", err)
	}
	return err
}
