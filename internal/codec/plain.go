package codec

import (
	"encoding/json"
	"reflect"
	"sync/atomic"
	"time"
)

// This file is the types that an interface can hold without gob.Register.

var (
	listType = reflect.TypeFor[[]any]()
	mapType  = reflect.TypeFor[map[string]any]()
)

// held is how values of a type are behind interfaces. Any goroutine may use it.
type held struct {
	dynamic bool                   // the type is an interface itself; does not change
	inside  bool                   // a part of the type is an interface; does not change
	tag     byte                   // the tag of a plain type, see plainTypes; 0 for all others; does not change
	card    atomic.Pointer[[]byte] // the card of a type that gob.Register knows, see cardOf; nil until then
}

// plainTypes are the types whose values need no name behind an interface: what encoding/json gives,
// what gob knows of itself, and a few more that programs put there. The tag of a type is firstPlain
// and its place. A queue may keep values for a later version of the program: so types are added
// at the end, and none is taken out.
var plainTypes = [...]reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[float64](), reflect.TypeFor[string](), listType, mapType,
	reflect.TypeFor[json.Number](), reflect.TypeFor[json.RawMessage](),
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](),
	reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](),
	reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](), reflect.TypeFor[float32](),
	reflect.TypeFor[complex64](), reflect.TypeFor[complex128](), reflect.TypeFor[time.Time](),
	reflect.TypeFor[time.Duration](),
	reflect.TypeFor[[]byte](), reflect.TypeFor[[]string](), reflect.TypeFor[[]bool](), reflect.TypeFor[[]int](),
	reflect.TypeFor[[]int8](), reflect.TypeFor[[]int16](), reflect.TypeFor[[]int32](), reflect.TypeFor[[]int64](),
	reflect.TypeFor[[]uint](), reflect.TypeFor[[]uint16](), reflect.TypeFor[[]uint32](), reflect.TypeFor[[]uint64](),
	reflect.TypeFor[[]uintptr](), reflect.TypeFor[[]float32](), reflect.TypeFor[[]float64](),
	reflect.TypeFor[[]complex64](), reflect.TypeFor[[]complex128](), reflect.TypeFor[map[string]string](),
	reflect.TypeFor[map[string]int](), reflect.TypeFor[map[string]int64](), reflect.TypeFor[map[string]float64](),
	reflect.TypeFor[map[string]bool](), reflect.TypeFor[[]map[string]any](),
}

// The tags before the values that interfaces hold. They say in which form the value follows.
const (
	tagNil     = iota // nothing follows: the interface is nil
	tagNone           // the tag of a plain type follows: a nil slice or map of it
	tagCard           // the id of the definitions of a type that has a card follows, and then the value
	tagGob            // a stream of gob, with its length before it
	firstPlain        // the value of the first plain type; the others follow
)

// The tags of the plain types whose values need no new memory, or are made most often.
const (
	tagBool = firstPlain + iota
	tagFloat64
	tagString
)

// plainTags are the tags of the plain types.
var plainTags = func() map[reflect.Type]byte {
	tags := make(map[reflect.Type]byte, len(plainTypes))
	for i, t := range plainTypes {
		tags[t] = byte(firstPlain + i)
	}
	return tags
}()
