package multiprolab_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The types of TestValuesAgainstGob.
type (
	color          uint8
	celsius        float64
	label          string
	labels         []label
	bits           [3]bool
	pair           struct{ A, B int }
	generic[T any] struct {
		V T
		L []T
		M map[string]T
	}
	named struct {
		Name string
		At   time.Time
		Tags map[string][]string
	}
	Embedded struct{ ID int }
	embeds   struct {
		Embedded
		Text string
	}
	embedsPointer struct {
		*Embedded
		Text string
	}
	linked struct {
		N    int
		Next *linked
	}
	forest struct {
		Trees  []forest
		ByName map[string]*forest
		N      int8
	}
	numbers struct {
		I   int
		I8  int8
		I16 int16
		I32 int32
		I64 int64
		U   uint
		U8  uint8
		U16 uint16
		U32 uint32
		U64 uint64
		Ptr uintptr
		F32 float32
		F64 float64
		C64 complex64
		C   complex128
		B   bool
		S   string
		R   rune
	}
	pointers struct {
		I *int
		S *string
		B *bool
		F *float64
		P *pair
		L *[]int
		M *map[string]int
		T *time.Time
		N **int
	}
	lists struct {
		I []int
		S []string
		B []byte
		P []pair
		Q []*pair
		L [][]int
		M []map[string]int
		A [2][2]int
	}
	mappings struct {
		SS map[string]string
		SI map[string]int
		IS map[int]string
		SF map[string]float64
		SB map[string]bool
		PP map[pair]*pair
		AL map[[2]int][]string
		MM map[string]map[string]int
		FI map[float64]int
		BO map[bool]int
	}
	standard struct {
		URL     *url.URL
		Int     *big.Int
		Rat     *big.Rat
		Float   *big.Float
		Addr    netip.Addr
		Port    netip.AddrPort
		Prefix  netip.Prefix
		IP      net.IP
		Net     net.IPNet
		Dur     time.Duration
		Month   time.Month
		Header  http.Header
		Values  url.Values
		Weekday time.Weekday
	}
	dynamic struct {
		Any   any
		Shape shape
		List  []any
		Map   map[string]any
		Next  *dynamic
	}
	private struct {
		Public int
		hidden int
		cache  map[string]int
	}
	empty    struct{}
	withZero struct {
		E empty
		A [0]int
		N int
	}
	uuid   [16]byte
	money  struct{ cents int64 }
	secret struct{ text string }
	wide   struct {
		A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z int
	}
)

func (u uuid) MarshalBinary() ([]byte, error) { return u[:], nil }
func (u *uuid) UnmarshalBinary(b []byte) error {
	if len(b) != len(u) {
		return errors.New("a uuid has 16 bytes")
	}
	copy(u[:], b)
	return nil
}
func (m money) GobEncode() ([]byte, error)       { return fmt.Append(nil, m.cents), nil }
func (m *money) GobDecode(b []byte) error        { _, err := fmt.Sscan(string(b), &m.cents); return err }
func (s *secret) MarshalBinary() ([]byte, error) { return []byte(strings.ToUpper(s.text)), nil }
func (s *secret) UnmarshalBinary(b []byte) error { s.text = strings.ToLower(string(b)); return nil }
func (c color) String() string                   { return fmt.Sprint("color ", uint8(c)) }

func init() { gob.Register(pair{}); gob.Register(labels{}); gob.Register(map[string]int{}) }

// valueOf is values of one type, with a handler that sends them back.
type valuesOf interface {
	register(w *multiprolab.Worker, name string)
	try(t *testing.T, l *lab, name string) (values int)
}

type someOf[T any] []T

func some[T any](values ...T) valuesOf { return someOf[T](values) }

func (s someOf[T]) register(w *multiprolab.Worker, name string) {
	same := func(_ context.Context, v T) (T, error) { return v, nil }
	multiprolab.HandleCall(w, name, same)
	multiprolab.HandleTask(w, name, same)
}

// try sends the values over the pipe and back, and compares them with what encoding/gob makes of
// them, or with themselves where it would lose something.
func (s someOf[T]) try(t *testing.T, l *lab, name string) int {
	ctx := bounded(t)
	var got []T
	for _, v := range s {
		back, err := multiprolab.Call[T](ctx, l, "echoes", name, v)
		require.NoError(t, err, "%T", v)
		got = append(got, back)
	}
	for _, v := range s {
		back, err := multiprolab.Do[T](ctx, l, name, &v)
		require.NoError(t, err, "%T", v)
		got = append(got, back)
	}
	for back, err := range multiprolab.Map[T](ctx, l, name, slices.Values(s), nil) {
		require.NoError(t, err, "%T", s)
		got = append(got, back)
	}
	for i, back := range got {
		v := s[i%len(s)]
		if sameValue(reflect.ValueOf(&v).Elem(), reflect.ValueOf(&back).Elem()) {
			continue
		}
		if list, ok := any(v).([]any); ok && len(list) == 0 {
			require.Equal(t, []any{}, any(back)) // as the package documentation says
			continue
		}
		var buf bytes.Buffer
		var want T
		require.NoError(t, gob.NewEncoder(&buf).Encode(&v), "%T", v)
		require.NoError(t, gob.NewDecoder(&buf).Decode(&want), "%T", v)
		require.True(
			t,
			sameValue(reflect.ValueOf(&want).Elem(), reflect.ValueOf(&back).Elem()),
			"%#v came back as %#v, and gob makes it %#v",
			v,
			back,
			want,
		)
	}
	return len(s)
}

// sameValue is reflect.DeepEqual, but for NaN, times and what has its own idea of equality.
func sameValue(a, b reflect.Value) bool {
	if a.Kind() == reflect.Float64 {
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	}
	if a.CanInterface() && b.CanInterface() {
		switch x := a.Interface().(type) {
		case time.Time:
			y := b.Interface().(time.Time)
			_, zoneX := x.Zone()
			_, zoneY := y.Zone()
			return x.Equal(y) && zoneX == zoneY
		case big.Int:
			y := b.Interface().(big.Int)
			return x.Cmp(&y) == 0
		case big.Float:
			y := b.Interface().(big.Float)
			return x.Cmp(&y) == 0 && x.Prec() == y.Prec()
		case netip.Addr:
			return x == b.Interface()
		}
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && sameValue(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameValue(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() || a.Kind() == reflect.Slice && a.IsNil() != b.IsNil() {
			return false
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return false
		}
		for it := a.MapRange(); it.Next(); {
			v := b.MapIndex(it.Key())
			if !v.IsValid() || !sameValue(it.Value(), v) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

func p[T any](v T) *T { return &v }

func mustParse[T any](parse func(string) (T, error), s string) T {
	v, err := parse(s)
	if err != nil {
		panic(err)
	}
	return v
}

// echoes are the values that everybody may send.
func echoes() []valuesOf {
	minus := math.Copysign(0, -1)
	zone := time.FixedZone("", -3*3600)
	rat := big.NewRat(1, 3)
	u := mustParse(url.Parse, "https://user@example.org:8080/a%20b?q=1#f")
	return []valuesOf{
		some(
			true,
			false,
		), some(0, 1, -1, math.MaxInt, math.MinInt), some(int8(-128), 127), some(int16(-32768), 32767), some(int32(math.MinInt32), 7),
		some(
			int64(math.MinInt64),
			math.MaxInt64,
		), some(uint(0), math.MaxUint), some(uint8(255), 0), some(uint16(65535)), some(uint32(math.MaxUint32)),
		some(
			uint64(math.MaxUint64),
		), some(uintptr(1)), some(float32(1.5), float32(math.Inf(1))), some(0.0, minus, math.NaN(), math.Inf(-1), math.SmallestNonzeroFloat64),
		some(
			complex64(1i),
		), some(complex(math.Inf(1), -1.5)), some("", "text", "\x00\xff", strings.Repeat("ä", 100_000)), some('x'),
		some([]byte("bytes"), []byte{}, bytes.Repeat([]byte{0, 255}, 100_000)),
		some(
			color(3),
			0,
		), some(celsius(-1.5)), some(label("l"), ""), some(labels{"a", ""}, labels{}), some(bits{true, false, true}), some(pair{1, 2}, pair{}),
		some(time.Second, 0), some(time.March), some(time.Friday),
		some(
			[]int{1, 2},
			[]int{},
			nil,
		), some([]string{"a", ""}), some([]bool{true}), some([]float64{1.5, minus, math.NaN()}), some([]int8{-1}), some([]uint16{1}),
		some(
			[]int32{1, math.MinInt32},
		), some([]uint64{math.MaxUint64}), some([]complex128{1i}), some([]pair{{1, 2}, {}}), some([]*pair{{1, 2}, {}}), some([][]int{{1}, {}, nil}),
		some(
			[][]byte{{1}, {}, nil},
		), some([]map[string]int{{"a": 1}, {}, nil}), some([]time.Time{time.Unix(1, 2).UTC(), {}}), some([]time.Duration{1}), some([]label{"a"}),
		some(
			[]any{1, "a", pair{1, 2}, nil, []any{2}},
			nil,
		), some([]shape{square{1}, nil, &blob{2}}), some([3]int{1, 2, 3}), some([0]int{}), some([2][2]string{{"a"}, {"", "b"}}),
		some([1]pair{{1, 2}}), some([2]*pair{{1, 2}, {}}), some([1][]int{{1}}), some([2]any{1, nil}),
		some(
			map[string]int{"a": 1, "": 0},
			map[string]int{},
			nil,
		), some(map[string]string{"a": "b"}), some(map[int]string{-1: "a"}), some(map[int]int{1: 2}),
		some(
			map[string]float64{"a": minus},
		), some(map[string]bool{"a": false}), some(map[string]int64{"a": math.MinInt64}), some(map[string][]string{"a": {"b"}, "c": {}, "d": nil}),
		some(
			map[string]pair{"a": {1, 2}},
		), some(map[string]*pair{"a": {}}), some(map[pair]string{{1, 2}: "a"}), some(map[[2]int]bool{{1, 2}: true}), some(map[label]color{"a": 1}),
		some(
			map[string]map[string]int{"a": {"b": 1}, "c": {}},
		), some(map[string]any{"a": 1, "b": nil}), some(map[any]string{1: "a", "x": "b"}), some(map[bool]int{true: 1}),
		some(
			map[float64]int{1.5: 1, math.Inf(1): 2},
		), some(map[uint8]int{255: 1}), some(map[time.Time]int{time.Unix(1, 0).UTC(): 1}), some(map[uuid]int{{1}: 2}), some(map[string]time.Time{"a": {}}),
		some(
			named{"n", time.Unix(1e9, 1).In(zone), map[string][]string{"a": {"b"}}},
			named{},
		), some(embeds{Embedded{1}, "x"}), some(embedsPointer{&Embedded{}, "x"}, embedsPointer{}),
		some(linked{1, &linked{0, &linked{}}}), some(forest{[]forest{{}, {N: 1}}, map[string]*forest{"a": {}}, 2}),
		some(
			numbers{-1, -2, -3, -4, -5, 1, 2, 3, 4, 5, 6, 1.5, 2.5, 1i, -1i, true, "s", 'r'},
			numbers{},
		), some(pointers{}, pointers{p(0), p(""), p(false), p(0.0), &pair{}, &[]int{1}, &map[string]int{"a": 1}, &time.Time{}, p(p(0))},
			pointers{p(1), p("x"), p(true), &minus, &pair{1, 2}, nil, nil, nil, nil}),
		some(
			lists{},
			lists{[]int{}, []string{}, []byte{}, []pair{}, []*pair{}, [][]int{}, []map[string]int{}, [2][2]int{{1}}},
			lists{
				[]int{1},
				[]string{""},
				[]byte{0},
				[]pair{{}},
				[]*pair{{}},
				[][]int{{1}},
				[]map[string]int{{"a": 1}},
				[2][2]int{},
			},
		),
		some(
			mappings{},
			mappings{
				map[string]string{},
				map[string]int{},
				map[int]string{},
				map[string]float64{},
				map[string]bool{},
				map[pair]*pair{},
				map[[2]int][]string{},
				map[string]map[string]int{},
				map[float64]int{},
				map[bool]int{},
			},
			mappings{
				SS: map[string]string{"a": "b"},
				PP: map[pair]*pair{{1, 2}: {3, 4}},
				AL: map[[2]int][]string{{1}: {"a"}},
				MM: map[string]map[string]int{"a": {"b": 1}},
			},
		),
		some(
			standard{},
			standard{
				u,
				big.NewInt(-5),
				rat,
				big.NewFloat(1.5),
				netip.MustParseAddr("fe80::1%eth0"),
				netip.MustParseAddrPort("1.2.3.4:5"),
				netip.MustParsePrefix("10.0.0.0/8"),
				net.IPv4(1, 2, 3, 4),
				net.IPNet{
					IP:   net.IP{10, 0, 0, 0},
					Mask: net.CIDRMask(8, 32),
				},
				time.Hour,
				time.May,
				http.Header{"A": {"b"}},
				url.Values{"q": {"1", ""}},
				time.Monday,
			},
		),
		some(
			dynamic{},
			dynamic{1, square{2}, []any{"a", nil, 2.5}, map[string]any{"a": pair{1, 2}}, &dynamic{Any: true}},
		), some(private{Public: 1}, private{1, 2, nil}), some(withZero{N: 1}, withZero{}),
		some(
			uuid{1, 2, 15: 3},
			uuid{},
		), some(money{-5}, money{}), some(secret{"psst"}, secret{}), some(wide{A: 1, M: 2, Z: 3}, wide{}),
		some(
			*u,
		), some(*big.NewInt(math.MaxInt64)), some(time.Unix(1e9, 5).UTC(), time.Time{}, time.Unix(0, 0).In(zone)), some(netip.MustParseAddr("::1"), netip.Addr{}), some(netip.MustParseAddrPort("[::1]:80")),
		some(net.IPv6loopback), some(http.Header{"Accept": {"a", "b"}}), some(url.Values{"a": nil, "b": {}}),
		some(
			[]uuid{{1}},
		), some([]money{{1}, {}}), some([]*money{{1}}), some([]*url.URL{u}), some([]*big.Int{big.NewInt(1), big.NewInt(0)}), some([]*time.Time{p(time.Unix(1, 0).UTC())}), some(map[string]*big.Int{"a": big.NewInt(9)}),
		some(map[string]*url.URL{"a": u}), some([]secret{{"a"}, {"b"}}), some([2]*secret{{"a"}, {"b"}}),
		some(
			generic[int]{1, []int{2}, map[string]int{"a": 3}},
		), some(generic[string]{"a", []string{""}, nil}), some(generic[*pair]{&pair{}, []*pair{{1, 2}}, nil}), some(generic[generic[bool]]{generic[bool]{V: true}, nil, nil}),
		some(
			generic[any]{1, []any{"a"}, map[string]any{"b": nil}},
		), some(generic[time.Time]{V: time.Unix(1, 0).UTC()}), some(generic[[]byte]{[]byte{}, [][]byte{{1}}, map[string][]byte{"a": {2}}}),
		some(
			struct{ A int }{1},
		), some(struct{ P *pair }{&pair{}}), some(struct{ M map[string]int }{map[string]int{"a": 1}}), some(struct {
			A, B string
			C    struct{ D []int }
		}{"a", "", struct{ D []int }{[]int{}}}), some(struct {
			_ [0]func()
			N int
		}{N: 7}),
		some[any](
			1,
			"text",
			[]byte("b"),
			pair{1, 2},
			nil,
		), some[shape](square{1}, nil, &blob{3}), some[*pair](&pair{1, 2}, nil, &pair{}), some[*int](p(7), nil, p(0)), some[*string](p(""), nil), some[*time.Time](p(time.Unix(1, 0).UTC()), nil),
		some[*[]int](
			p([]int{1}),
			nil,
		), some[**pair](p(&pair{1, 2}), nil), some[*big.Int](big.NewInt(3), nil), some[fmt.Stringer](meters(1), nil),
	}
}

var _ = worker("echoes", func(ctx context.Context, w *multiprolab.Worker) error {
	for i, v := range echoes() {
		v.register(w, fmt.Sprint("echo-", i))
	}
	return nil
})

// What gob carries, the pipe carries, by each verb and in batches: nothing is lost that gob keeps.
func TestValuesAgainstGob(t *testing.T) {
	l := startLab(t, nil, workers("echoes", 1))
	types := map[string]bool{}
	values := 0
	for i, v := range echoes() {
		typ := reflect.TypeOf(v).String()
		t.Run(typ, func(t *testing.T) { values += v.try(t, l, fmt.Sprint("echo-", i)) })
		types[typ] = true
	}
	t.Logf("%d values of %d types", values, len(types))
	require.GreaterOrEqual(t, values, 180)
	require.GreaterOrEqual(t, len(types), 110)
}
