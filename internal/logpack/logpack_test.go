package logpack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/slogtest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// texts has errors cross as their texts.
var texts = &Errors{
	Pack:   func(err error) []byte { return []byte(err.Error()) },
	Unpack: func(packed []byte) error { return errors.New(string(packed)) },
}

// crossing is a handler whose records are packed and read again before another handler gets them.
type crossing struct {
	t      testing.TB
	to     slog.Handler
	prefix Prefix
}

func (c *crossing) Enabled(ctx context.Context, level slog.Level) bool {
	return c.to.Enabled(ctx, level)
}

func (c *crossing) Handle(ctx context.Context, r slog.Record) error {
	packed := Append([]byte("before"), texts, &r, &c.prefix)[len("before"):]
	require.LessOrEqual(c.t, len(packed), MaxSize)
	got, err := Read(packed, texts)
	require.NoError(c.t, err)
	return c.to.Handle(ctx, got)
}

func (c *crossing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &crossing{c.t, c.to, c.prefix.With(texts, attrs)}
}

func (c *crossing) WithGroup(name string) slog.Handler {
	return &crossing{c.t, c.to, c.prefix.WithGroup(name)}
}

// A record that has crossed is what package slog asks of a handler.
func TestCrossingIsAHandler(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		return &crossing{t: t, to: slog.NewJSONHandler(&out, nil)}
	}, func(t *testing.T) map[string]any {
		got := map[string]any{}
		require.NoError(t, json.Unmarshal(out.Bytes(), &got))
		return got
	})
}

type textual struct{ s string }

func (v textual) MarshalText() ([]byte, error) { return []byte("text of " + v.s), nil }

type failing struct{}

func (failing) MarshalText() ([]byte, error) { return nil, errors.New("it cannot") }

type panicking struct{}

func (*panicking) MarshalText() ([]byte, error) { panic("it panics") }

type late struct{ v slog.Value }

func (l late) LogValue() slog.Value { return l.v }

// traced is an error that prints more than its text with %+v.
type traced struct{ text string }

func (e *traced) Error() string { return e.text }

func (e *traced) Format(s fmt.State, verb rune) {
	if verb == 'v' && s.Flag('+') {
		_, _ = fmt.Fprint(s, e.text, "\nand its stack")
		return
	}
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), e.text)
}

// encoded is an error that encodes itself.
type encoded string

func (e encoded) Error() string                { return string(e) }
func (e encoded) MarshalText() ([]byte, error) { return []byte("text of " + e), nil }

type fields struct {
	A int
	B []string
	c *int
}

// Whatever the values are, the handlers of package slog print a record that has crossed as they
// print it where it was made, its place in the program included.
func TestCrossingChangesNothing(t *testing.T) {
	values := []any{
		nil, true, false, 0, -1, int64(math.MinInt64), uint64(math.MaxUint64), 1.5, math.Inf(1), math.NaN(), "",
		"a\nb=\"c\"", "\xff", time.Duration(math.MaxInt64), time.Time{}, time.Now(), time.Now().UTC(),
		time.Unix(1, 2).In(time.FixedZone("x", 3600)), []byte("bytes"), []string{"a", "b c"}, map[string]int{"a": 1},
		fields{1, []string{"x"}, nil}, &fields{A: 2}, textual{"x"}, failing{}, &panicking{}, (*panicking)(nil),
		netip.MustParseAddr("1.2.3.4"), errors.New("an\nerror"), fmt.Errorf("wrapped: %w", fs.ErrNotExist),
		late{slog.StringValue("late")}, late{slog.GroupValue(slog.Int("a", 1), slog.Any("b", late{slog.IntValue(2)}))},
		slog.GroupValue(), slog.GroupValue(slog.Group("inner", "x", 1), slog.Attr{}), json.RawMessage(`{"a": 1}`),
		&slog.Source{Function: "f", File: "/x/y.go", Line: 3}, json.Number("12"), fields{B: []string{"<a & b>"}},
		map[string]any{"<": "\xff\u2028"}, (*traced)(nil), &traced{"<x>"}, fmt.Errorf("more: %w", &traced{"x"}),
		encoded("x"), errors.Join(errors.New("a"), &traced{"b"}), errors.New(strings.Repeat("long ", 1<<12)),
		slog.LevelWarn, make(chan int), time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), []slog.Attr{slog.Int("a", 1)},
	}
	for _, make := range []func(out *bytes.Buffer) slog.Handler{
		func(out *bytes.Buffer) slog.Handler {
			return slog.NewTextHandler(out, &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug - 10})
		},
		func(out *bytes.Buffer) slog.Handler {
			return slog.NewJSONHandler(out, &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug - 10})
		},
	} {
		var here, there bytes.Buffer
		direct := make(&here)
		var both [2]slog.Handler = [2]slog.Handler{direct, &crossing{t: t, to: make(&there)}}
		for i, v := range values {
			for _, level := range []slog.Level{slog.LevelDebug - 3, slog.LevelInfo, slog.LevelError + 1} {
				var pcs [1]uintptr
				runtime.Callers(1, pcs[:])
				r := slog.NewRecord(time.Now(), level, fmt.Sprint("record ", i), pcs[0])
				r.AddAttrs(slog.Any("value", v), slog.Group("group", "value", v), slog.Any("", v), slog.Int("last", i))
				for _, h := range both {
					require.NoError(t, h.Handle(t.Context(), r.Clone()))
					h = h.WithAttrs([]slog.Attr{slog.Any("with", v)}).WithGroup("g").WithGroup("empty").WithAttrs(nil)
					require.NoError(t, h.Handle(t.Context(), slog.NewRecord(r.Time, level, "", 0)))
					require.NoError(t, h.WithAttrs([]slog.Attr{slog.Any("more", v)}).Handle(t.Context(), r.Clone()))
				}
				require.Equal(t, here.String(), there.String(), "%T %v", v, v)
				here.Reset()
				there.Reset()
			}
		}
	}
}

// An error remains one, and prints as it does where it was made, whichever way it is printed.
func TestErrorsRemainErrors(t *testing.T) {
	for _, err := range []error{errors.New("x"), &traced{"x"}, encoded("x"), fmt.Errorf("w: %w", encoded("x"))} {
		r := slog.NewRecord(time.Now(), 0, "", 0)
		r.AddAttrs(slog.Any("err", err))
		got, broken := Read(Append(nil, texts, &r, &Prefix{}), texts)
		require.NoError(t, broken)
		got.Attrs(func(a slog.Attr) bool {
			came, ok := a.Value.Any().(error)
			require.True(t, ok, "%T", err)
			formats := []string{"%v", "%s", "%q", "%10.3s"}
			if _, ok := err.(fmt.Formatter); ok {
				formats = append(formats, "%+v")
			}
			for _, format := range formats {
				require.Equal(t, fmt.Sprintf(format, err), fmt.Sprintf(format, came), "%T %s", err, format)
			}
			return true
		})
	}
}

// Where a text is cut, no character is.
func TestCutsLieBetweenCharacters(t *testing.T) {
	for i := range 4 {
		r := slog.NewRecord(time.Now(), 0, "abc"[:i]+strings.Repeat("\U0001F600", MaxSize/4), 0)
		got, err := Read(Append(nil, texts, &r, &Prefix{}), texts)
		require.NoError(t, err)
		require.True(t, utf8.ValidString(got.Message))
		require.Greater(t, len(got.Message), MaxSize-maxCuts-2*reserve)
	}
	r := slog.NewRecord(time.Now(), 0, strings.Repeat("\x80", MaxSize), 0)
	got, err := Read(Append(nil, texts, &r, &Prefix{}), texts)
	require.NoError(t, err)
	require.Greater(t, len(got.Message), MaxSize-maxCuts-2*reserve, "no UTF-8 at all")
}

// What is too large is cut, and says so; what fits is not.
func TestLargeRecordsAreCut(t *testing.T) {
	big := strings.Repeat("x", MaxSize)
	deep := slog.GroupValue(slog.Int("a", 1))
	for range 2 * maxDepth {
		deep = slog.GroupValue(slog.Attr{Key: "g", Value: deep})
	}
	var many []slog.Attr
	for i := range MaxSize / 4 {
		many = append(many, slog.Int(fmt.Sprint(i), i))
	}
	names := map[string]string{"key": big[:reserve] + " ...", "deep": "g", "source": "s", "many": "", "grouped": ""}
	for what, attrs := range map[string][]slog.Attr{
		"text":    {slog.String("a", big), slog.Int("b", 1)},
		"other":   {slog.Any("a", []string{big})},
		"error":   {slog.Any("a", errors.New(big))},
		"key":     {slog.Int(big, 1)},
		"deep":    {{Key: "a", Value: deep}},
		"many":    many,
		"grouped": {slog.Attr{Key: "g", Value: slog.GroupValue(many...)}},
		"source":  {slog.Any("s", &slog.Source{Function: big, File: big})},
	} {
		for _, prefix := range []Prefix{
			{}, Prefix{}.With(texts, attrs), Prefix{}.WithGroup("x").With(texts, attrs).WithGroup(big),
		} {
			r := slog.NewRecord(time.Now(), 0, "message", 0)
			r.AddAttrs(attrs...)
			packed := Append(nil, texts, &r, &prefix)
			require.LessOrEqual(t, len(packed), MaxSize, what)
			got, err := Read(packed, texts)
			require.NoError(t, err, what)
			require.Equal(t, "!CUT", keysOf(got)[len(keysOf(got))-1], what)
			var size uint64
			var of string
			got.Attrs(func(a slog.Attr) bool {
				if a.Key == "!CUT" {
					size, of = a.Value.Group()[0].Value.Uint64(), a.Value.Group()[1].Value.String()
				}
				return true
			})
			name, other := names[what]
			if !other {
				name = "a"
			}
			require.Contains(t, of, name, what)
			require.LessOrEqual(t, len(of), maxNames, what)
			if what != "deep" {
				require.Greater(t, size, uint64(MaxSize-maxCuts), what)
			}
			if what == "text" && prefix.depth == 0 && len(prefix.b) == 0 {
				require.Equal(t, "a, b", of)
				require.InDelta(t, MaxSize, size, 100, "it is told how large the record was")
			}
			require.Equal(t, "message", got.Message)
			_ = slog.NewJSONHandler(&bytes.Buffer{}, nil).Handle(t.Context(), got)
		}
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, big+big, 0)
	r.AddAttrs(slog.Int("b", 1), slog.Any("c", []string{big}))
	packed := Append(nil, texts, &r, &Prefix{})
	require.LessOrEqual(t, len(packed), MaxSize)
	var out bytes.Buffer
	long, err := Read(packed, texts)
	require.NoError(t, err)
	require.Equal(t, slog.LevelWarn, long.Level)
	require.True(t, strings.HasPrefix(big, long.Message))
	require.Greater(t, len(long.Message), MaxSize-maxCuts-2*reserve)
	long.Message = "long"
	require.NoError(t, slog.NewTextHandler(&out, nil).Handle(t.Context(), long))
	require.Regexp(t, `msg=long !CUT.size=3932\d\d !CUT.of="msg, b, c"\n$`, out.String())
	small := slog.NewRecord(time.Now(), 0, big[:MaxSize/2], 0)
	small.AddAttrs(slog.String("a", big[:MaxSize/4]))
	got, err := Read(Append(nil, texts, &small, &Prefix{}), texts)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, keysOf(got))
}

func keysOf(r slog.Record) (keys []string) {
	r.Attrs(func(a slog.Attr) bool {
		keys = append(keys, a.Key)
		return true
	})
	return keys
}

// Whatever comes is read without harm, and what was read can be printed.
func FuzzRead(f *testing.F) {
	r := slog.NewRecord(time.Now(), 0, "message", 0)
	r.AddAttrs(slog.Any("a", []int{1}), slog.Any("e", errors.New("x")), slog.Group("g", "b", 1.5))
	r.AddAttrs(slog.Time("t", time.Now()))
	f.Add(Append(nil, texts, &r, &Prefix{}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Read(b, texts, slog.String("worker", "w/0"))
		if err != nil {
			return
		}
		for _, h := range []slog.Handler{
			slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{AddSource: true}),
			slog.NewJSONHandler(&bytes.Buffer{}, &slog.HandlerOptions{AddSource: true}),
		} {
			_ = h.Handle(t.Context(), got) // an error of the handler is as good as a line
		}
	})
}

// A record that was cut short anywhere, or ends where no group began, is refused or is a shorter
// record.
func TestMalformedRecordsAreRefused(t *testing.T) {
	r := slog.NewRecord(time.Now(), 0, "message", 0)
	r.AddAttrs(slog.Any("a", []int{1}), slog.Any("e", errors.New("x")), slog.Group("g", "b", 1.5))
	r.AddAttrs(slog.Time("t", time.Now()))
	packed := Append(nil, texts, &r, &Prefix{})
	refused := 0
	for n := range packed {
		if _, err := Read(packed[:n], texts); err != nil {
			refused++
		}
	}
	require.Greater(t, refused, len(packed)/2)
	for _, b := range [][]byte{
		append(bytes.Clone(packed), endOfGroup), append(bytes.Clone(packed), kindEnd, 0), make([]byte, MaxSize+1),
		append([]byte{2}, packed[1:]...), append([]byte{0, 2}, packed[2:]...),
		append(bytes.Clone(packed), bytes.Repeat([]byte{kindGroup, 0}, maxDepth+1)...),
	} {
		_, err := Read(b, texts)
		require.Error(t, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	r := slog.NewRecord(time.Now(), 0, "a record of a usual length", 1)
	r.AddAttrs(slog.Int("n", 1), slog.String("name", "value"), slog.Duration("took", time.Second))
	buf := Append(nil, texts, &r, &Prefix{})
	for b.Loop() {
		buf = Append(buf[:0], texts, &r, &Prefix{})
	}
}

func BenchmarkRead(b *testing.B) {
	r := slog.NewRecord(time.Now(), 0, "a record of a usual length", 1)
	r.AddAttrs(slog.Int("n", 1), slog.String("name", "value"), slog.Duration("took", time.Second))
	buf := Append(nil, texts, &r, &Prefix{})
	for b.Loop() {
		_, _ = Read(buf, texts, slog.String("worker", "w/0"), slog.Int("pid", 1), slog.Int("life", 1))
	}
}
