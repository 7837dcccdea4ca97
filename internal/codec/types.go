package codec

import (
	"encoding"
	"encoding/gob"
	"fmt"
	"reflect"
	"strings"
)

// typeName names a type by its package's path, below any pointers, since gob flattens these.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

var (
	gobEncoder      = reflect.TypeFor[gob.GobEncoder]()
	binaryMarshaler = reflect.TypeFor[encoding.BinaryMarshaler]()
)

// inspect walks over everything that gob would send of a type. It reports whether an interface is in it, so that its values
// must travel self-contained, and refuses what gob would leave out in silence.
func inspect(t reflect.Type) (hasInterface bool, err error) {
	return inspectPath(t, typeName(t), map[reflect.Type]bool{})
}

func inspectPath(t reflect.Type, path string, seen map[reflect.Type]bool) (hasInterface bool, err error) {
	if seen[t] {
		return false, nil
	}
	seen[t] = true
	if opaque(t) || t.Kind() != reflect.Interface && opaque(reflect.PointerTo(t)) {
		return false, nil // its own method encodes it
	}
	switch t.Kind() {
	case reflect.Interface:
		return true, nil
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return inspectPath(t.Elem(), path, seen)
	case reflect.Map:
		key, err := inspectPath(t.Key(), path+" key", seen)
		if err != nil {
			return false, err
		}
		elem, err := inspectPath(t.Elem(), path+" element", seen)
		return key || elem, err
	case reflect.Struct:
		for f := range t.Fields() {
			if !f.IsExported() {
				continue
			}
			has, err := inspectPath(f.Type, path+"."+f.Name, seen)
			if err != nil {
				return false, err
			}
			hasInterface = hasInterface || has
		}
		return hasInterface, nil
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return false, fmt.Errorf("%s is a %v, which cannot cross to another process and would be left out in silence: "+
			"unexport the field or leave it out of the message", path, t.Kind())
	}
	return false, nil
}

func opaque(t reflect.Type) bool { return t.Implements(gobEncoder) || t.Implements(binaryMarshaler) }

// explain adds to an error of gob how to mend what it reports.
func explain(err error) error {
	switch s := err.Error(); {
	case strings.Contains(s, "not registered for interface"):
		return fmt.Errorf("%w: call gob.Register with a value of the type that is behind the interface, in main before Run", err)
	case strings.Contains(s, "has no exported fields"):
		return fmt.Errorf("%w: export the fields that are to be sent", err)
	}
	return err
}
