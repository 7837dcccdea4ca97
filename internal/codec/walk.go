package codec

import (
	"fmt"
	"reflect"
)

// This file is the walk over a value that is about to be encoded.

// parts says what inspect looks at in the values of a type: every part that can hold more than
// basic values. It does not change.
type parts struct {
	key     bool  // inspect looks at the keys of a map
	elem    bool  // inspect looks at the elements of a map, slice or array
	nilKey  bool  // a key may be a pointer that gob panics at if it is nil
	nilElem bool  // an element may be a pointer that gob panics at if it is nil
	fields  []int // the indexes of the fields of a struct that inspect looks at
}

// partsOf returns the parts of a type that is no pointer and no interface.
func (c *Codec) partsOf(t reflect.Type) *parts {
	if p, ok := c.parts.Load(t); ok {
		return p.(*parts)
	}
	p := &parts{}
	if !encodesItself(reflect.PointerTo(t)) {
		deep := func(t reflect.Type) bool {
			t, _ = base(t)
			return t.Kind() > reflect.Complex128 && t.Kind() != reflect.String
		}
		switch t.Kind() {
		case reflect.Map:
			p.nilKey, p.nilElem = encodesByValue(t.Key()), encodesByValue(t.Elem())
			p.key, p.elem = deep(t.Key()) || p.nilKey, deep(t.Elem()) || p.nilElem
		case reflect.Slice, reflect.Array:
			p.nilElem = encodesByValue(t.Elem())
			p.elem = deep(t.Elem()) || p.nilElem
		case reflect.Struct:
			for f := range t.Fields() {
				if f.IsExported() && deep(f.Type) {
					p.fields = append(p.fields, f.Index[0])
				}
			}
		}
	}
	c.parts.Store(t, p)
	return p
}

// inspect walks over a value before gob does, and refuses a value at which gob would end the
// process or panic. Gob would follow a value that is nested over left levels deep, such as one that
// holds itself, until the stack is full; and of an element that is a nil pointer it would call a
// method.
func (c *Codec) inspect(v reflect.Value, left int) error { return c.walk(v, left, false, nil) }

// walk is inspect. If strict is set, it refuses every element that is a nil pointer, also if no
// method would be called. What interfaces hold is shown to seen, unless that is nil.
func (c *Codec) walk(v reflect.Value, left int, strict bool, seen func(t *typeInfo) error) error {
	for range maxPointers {
		if v.Kind() != reflect.Pointer {
			break
		}
		v = v.Elem()
	}
	if left < 0 {
		return fmt.Errorf("%w: a value that holds itself cannot be sent", errDeep)
	}
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			if t := c.typeOf(v.Elem().Type()); t.err != nil {
				return t.err // gob would leave something out
			} else if seen != nil {
				if err := seen(t); err != nil {
					return err
				}
			}
			return c.walk(v.Elem(), left-1, strict, seen)
		}
	case reflect.Array, reflect.Slice:
		p := c.partsOf(v.Type())
		for i := 0; (p.elem || strict) && i < v.Len(); i++ {
			if err := c.walkElem(v.Index(i), p.nilElem, left-1, strict, seen); err != nil {
				return err
			}
		}
	case reflect.Map:
		p := c.partsOf(v.Type())
		for it := v.MapRange(); (p.key || p.elem || strict) && it.Next(); {
			if err := c.walkElem(it.Key(), p.nilKey, left-1, strict, seen); err != nil {
				return err
			}
			if err := c.walkElem(it.Value(), p.nilElem, left-1, strict, seen); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for _, i := range c.partsOf(v.Type()).fields {
			if err := c.walk(v.Field(i), left-1, strict, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkElem is walk for a key or an element, which must not be a nil pointer if notNil is set.
func (c *Codec) walkElem(v reflect.Value, notNil bool, left int, strict bool, seen func(*typeInfo) error) error {
	if (notNil || strict && v.Kind() == reflect.Pointer) && v.IsNil() {
		return errNilElem
	}
	return c.walk(v, left, strict, seen)
}

// encodeFast encodes with the type's engine. It finds out that a value holds itself before that
// takes much memory.
func (c *Codec) encodeFast(dst []byte, t *typeInfo, v reflect.Value) ([]byte, error) {
	if !t.inspected {
		return t.engine.withAddress(dst, v, walked)
	}
	n := len(dst)
	if t.inside {
		dst = append(dst, 0) // no cards
	}
	b, err := t.engine.withAddress(dst, v, shallow)
	switch {
	case err != errDeep && err != errWalk:
		return b, err
	case t.inside:
		dst, err = t.engine.holds.appendCards(dst[:n], v)
	default:
		err = c.inspect(v, maxDepth)
	}
	if err != nil {
		return nil, err
	}
	return t.engine.withAddress(dst, v, walked)
}
