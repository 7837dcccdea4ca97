package codec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// This file decodes into targets that are interfaces. A value that is sent by way of an interface
// travels as the value behind it. If the target is an interface, too, it gets a value of the same
// type, but only if gob.Register has made the type known by its name: both ends are one program,
// but nothing else leads from a name to a type. gob keeps to itself which names it knows. So gob
// decodes the first value of each type, and the result shows the type.

// decodeInterface decodes a payload into a target that is an interface, or a pointer to one.
func (c *Codec) decodeInterface(p Payload, target reflect.Value) error {
	name, typ, err := c.sentType(p)
	if err != nil {
		return err
	}
	wanted, _ := base(target.Type())
	v := reflect.New(typ)
	value := v.Elem()
	if !typ.AssignableTo(wanted) {
		if value = v; !v.Type().AssignableTo(wanted) {
			return &MismatchError{name, typeName(wanted)}
		}
	}
	if p.Encoding == Gob {
		err = c.decodeStream(p.Data, v.Elem())
	} else {
		err = c.decodeValue(p, v.Elem())
	}
	if err != nil {
		target.SetZero()
		return err
	}
	for target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	target.Set(value)
	return nil
}

// sentType returns the name of the type of a value, and the type that gob.Register has made known:
// the type itself, or a pointer to it.
func (c *Codec) sentType(p Payload) (name string, typ reflect.Type, err error) {
	var short string
	var stream []byte
	var value func(*shape) ([]byte, bool)
	if p.Encoding == Gob {
		name, short, stream, err = cutNames(p.Data)
	} else {
		blob := c.Definitions(p.Defs)
		if blob == nil {
			return "", nil, fmt.Errorf("its type definitions (id %#x) never came", p.Defs)
		}
		var root int64
		name, short, root, stream, err = cutBlob(blob)
		if t := plainNames()[name]; t != nil && c.typeOf(t).defs == p.Defs {
			return name, t, nil
		}
		// What is in the value need not be known to find its type, and gob could not read what
		// interfaces hold. Only values that encode themselves are needed.
		value = func(root *shape) ([]byte, bool) {
			if v, ok := zeroOf(root); ok {
				return v, true
			}
			return p.Data, true
		}
		stream = append(bytes.Clone(stream), appendMessage(nil, appendInt(nil, root))...)
	}
	if err != nil {
		return name, nil, err
	}
	if t, ok := c.named.Load(name); ok {
		return name, t.(reflect.Type), nil
	}
	s, root, err := parse(stream, value)
	if err != nil {
		return name, nil, err
	}
	// These are the names that gob.Register makes of a value, of a pointer, and of a type without a
	// name.
	for _, registered := range []string{name, "*" + short, short} {
		v, err := s.behind(registered, root)
		if err != nil && strings.Contains(err.Error(), "not registered for interface: "+fmt.Sprintf("%q", registered)) {
			continue
		}
		if err != nil {
			return name, nil, err
		}
		if typ = reflect.TypeOf(v); typeName(typ) != name {
			continue // the other end has lied
		}
		c.named.Store(name, typ)
		return name, typ, nil
	}
	return name, nil, fmt.Errorf(
		"it holds %s, which an interface can take only if it is known by its name: call gob.Register with a value "+
			"of it, in main before Run",
		name,
	)
}

// behind decodes the value of a checked stream as if it were in an interface, as a value of the
// type that is registered by the name.
func (s *stream) behind(name string, root *shape) (value any, err error) {
	holder := &shape{form: structure, id: firstID + int64(len(s.defs)), fields: []field{{"Value", basics[idInterface]}}}
	id := scanner{data: s.out}
	id.int()
	out := append(appendInt(nil, holder.id), 1) // the first field
	out = append(appendUint(out, uint64(len(name))), name...)
	out = appendInt(out, root.id)
	out = append(appendMessage(out, id.data), 0)
	var v struct{ Value any }
	stream := appendMessage(appendDefinitions(appendDefinitions(nil, s.defs), []*shape{holder}), out)
	defer guard(&err, "decoding")
	err = gob.NewDecoder(bytes.NewReader(stream)).Decode(&v)
	return v.Value, explain(err)
}

// plainNames are the plain types by their names.
var plainNames = sync.OnceValue(func() map[string]reflect.Type {
	names := make(map[string]reflect.Type, len(plainTypes))
	for _, t := range plainTypes {
		names[typeName(t)] = t
	}
	return names
})
