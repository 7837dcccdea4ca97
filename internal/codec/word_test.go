package codec_test

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// These types are as large as a word, or nearly. Go stores some of them in an interface themselves,
// and others by way of a pointer.
type (
	leaf struct{ A, B int }

	wordBlank struct {
		_ struct{}
		P *leaf
	}
	wordEmpty struct {
		E struct{}
		P *leaf
	}
	wordEmptyLast struct {
		P *[1]int
		E [0]int
	}
	wordNoFuncs struct {
		_ [0]func()
		M map[string]int
	}
	wordNotComparable struct { // it mentions a pointer, and holds none
		_ [0]func()
		N int
	}
	wordNoPointers struct {
		E [0]*leaf
		N uintptr
	}
	wordNoChans struct {
		_ [0]chan int
		_ [0]unsafe.Pointer
		N [unsafe.Sizeof(uintptr(0))]byte
	}
	wordNoMaps struct {
		_ [0]map[string]int
		X [1]struct {
			_ [0][]string
			N int
		}
	}
	wordNoAnys struct {
		_ [0]any
		_ [0]string
		F float32
	}
	wordDeep struct{ X [1]wordEmpty }
	wordMaps struct {
		_ [0]func()
		X [1][1]map[string]*leaf
	}
	wordTwice struct {
		P **leaf
		_ struct{}
	}
	wordArray [1]struct {
		_ [0]int
		M map[int]string
	}
	wordHalves struct {
		_    [0]*int
		A, B int16
	}
	wordHidden struct { // nothing is sent of its pointer
		E [0]int
		_ [0]int
		//lint:ignore U1000 its place counts
		p unsafe.Pointer
	}
	wordHiddenFunc struct {
		E [0]int
		//lint:ignore U1000 its place counts
		f func()
	}
	wordHiddenChan struct {
		E [0]int
		//lint:ignore U1000 its place counts
		c chan int
	}
	wordHiddenMap struct {
		E [0]int
		//lint:ignore U1000 its place counts
		m map[string]int
	}
)

// TestValuesOfOneWord holds how an engine comes to a value in an interface. A wrong guess sends an
// address as a number, or takes a number for an address.
func TestValuesOfOneWord(t *testing.T) {
	l, n := &leaf{1, 2}, 7
	p := &n
	// made returns a struct with the field V, whose type reflect makes and not the compiler.
	made := func(empty reflect.Type, value any) any {
		v := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Empty", Type: empty}, {Name: "V", Type: reflect.TypeOf(value)}})).
			Elem()
		v.Field(1).Set(reflect.ValueOf(value))
		return v.Interface()
	}
	array := reflect.New(reflect.ArrayOf(1, reflect.TypeFor[map[string]int]())).Elem()
	array.Index(0).Set(reflect.ValueOf(map[string]int{"a": 1}))
	var noMaps wordNoMaps
	noMaps.X[0].N = -7
	var wordOfBytes wordNoChans
	wordOfBytes.N = [len(wordOfBytes.N)]byte{1, 2, 3}
	for i, v := range []any{
		wordBlank{P: l}, wordEmpty{P: l}, wordEmptyLast{P: &[1]int{3}}, wordNoFuncs{M: map[string]int{"a": 1}}, wordNotComparable{N: 7}, wordNoPointers{N: 7},
		wordOfBytes, noMaps, wordNoAnys{F: 1.5}, wordDeep{[1]wordEmpty{{P: l}}}, wordMaps{X: [1][1]map[string]*leaf{{{"k": l}}}}, wordTwice{P: &l},
		wordArray{{M: map[int]string{3: "x"}}}, wordHalves{A: -1, B: 300}, wordHidden{p: nil}, wordHiddenFunc{f: nil}, wordHiddenChan{c: nil}, wordHiddenMap{m: nil},
		map[string]int{"a": 1}, map[string]*leaf{"k": l}, [1]map[int]int{{1: 2}}, [1][1]*leaf{{l}}, [1]struct{ P *int }{{p}}, struct{ P **int }{&p},
		7, uintptr(7), true, int8(-1), [1]int{7}, [0]*leaf{}, [2]int16{1, 2}, 1.5, struct{ F float64 }{1.5}, struct{ B bool }{true}, struct{ A [0]*leaf }{},
		made(reflect.TypeFor[[0]*leaf](), -5), made(reflect.TypeFor[[0]*leaf](), l), made(reflect.TypeFor[struct{}](), map[string]int{"a": 1}), array.Interface(),
	} {
		t.Run(fmt.Sprintf("%d %T", i, v), func(t *testing.T) {
			a := newAgainst()
			require.True(t, a.fast.HasEngine(v))
			require.NotNil(t, a.encodes(t, v))
			got := reflect.New(reflect.TypeOf(v))
			p := encode(t, a.fast, a.fast, v)
			runtime.GC() // which would stumble over a number in the place of an address
			require.NoError(t, a.fast.Decode(p, got.Interface()))
			require.Equal(t, v, got.Elem().Interface())
			// of arrays some have a nil that nobody can send
			if k := reflect.TypeOf(v).Kind(); k == reflect.Struct || k == reflect.Map {
				require.NotNil(t, a.encodes(t, reflect.Zero(reflect.TypeOf(v)).Interface()))
			}
		})
	}
}
