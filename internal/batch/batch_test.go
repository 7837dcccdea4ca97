package batch_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
)

// entry is what a test puts into a body, and reads from it.
type entry struct {
	Status  batch.Status
	Payload codec.Payload
}

var entries = rapid.Custom(func(t *rapid.T) (e entry) {
	e.Payload.Data = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data")
	e.Status = rapid.SampledFrom([]batch.Status{batch.OK, batch.OK, batch.OK, batch.Failed, batch.Later}).
		Draw(t, "status")
	if e.Status != batch.OK {
		return e
	}
	e.Payload.Encoding = rapid.Uint8Range(codec.None, codec.GobValue).Draw(t, "encoding")
	if e.Payload.Encoding == codec.GobValue {
		e.Payload.Defs = rapid.Uint64Range(1, 3).Draw(t, "definitions")
	}
	return e
})

// all reads a body to its end.
func all(t require.TestingT, b []byte) (read []entry) {
	r := batch.Read(b)
	for !r.Done() {
		s, p, ok := r.Next()
		require.True(t, ok)
		read = append(read, entry{s, p})
	}
	return read
}

// What was put into a body comes out of it, in whatever way it was put in, and in parts as well.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []entry
		size := 0
		needs := map[uint64]bool{}
		for _, e := range rapid.SliceOfN(entries, 0, 30).Draw(t, "entries") {
			at, before := len(b), bytes.Clone(b)
			switch rapid.IntRange(0, 2).Draw(t, "way") {
			case 0:
				b = batch.Append(b, e.Status, e.Payload)
			case 1: // as an encoder that appends does
				b = append(batch.Begin(b), e.Payload.Data...)
				b = batch.End(b, at, e.Status, e.Payload)
			case 2: // what was encoded is not what counts
				b = append(batch.Begin(b), "the value was too large"...)
				b = batch.EndWith(b, at, e.Status, e.Payload)
			}
			if at > 0 { // what was there stays there, but for the common id and the flag in the first head
				require.Equal(t, before[batch.HeadSize+1:], b[batch.HeadSize+1:at])
			}
			want = append(want, e)
			size += batch.EntryHeadSize + len(e.Payload.Data)
			if id := e.Payload.Defs; id != 0 {
				needs[id] = true
			}
		}
		require.Equal(t, len(want), len(all(t, b)))
		for i, e := range all(t, b) {
			require.Equal(t, want[i].Status, e.Status)
			require.Equal(t, want[i].Payload.Encoding, e.Payload.Encoding)
			require.Equal(t, want[i].Payload.Defs, e.Payload.Defs)
			require.True(t, bytes.Equal(want[i].Payload.Data, e.Payload.Data))
		}
		require.LessOrEqual(t, len(b), batch.HeadSize+size+batch.OwnSize*len(want))

		ids := map[uint64]bool{}
		for id := range batch.Definitions(b) {
			require.False(t, ids[id] && id == binary.LittleEndian.Uint64(b), "the common id comes twice")
			ids[id] = true
		}
		require.Equal(t, needs, ids)
		for range batch.Definitions(b) {
			break // must be heard
		}

		k := rapid.IntRange(0, len(want)).Draw(t, "from")
		n := rapid.IntRange(k, len(want)+2).Draw(t, "to")
		part := all(t, batch.From(b, k, n))
		require.Len(t, part, min(n, len(want))-k)
		for i, e := range part {
			require.Equal(t, all(t, b)[k+i], e)
		}
		ids = map[uint64]bool{}
		for id := range batch.Definitions(batch.From(b, k, n)) {
			ids[id] = true
		}
		for _, e := range part {
			require.True(t, e.Payload.Defs == 0 || ids[e.Payload.Defs], "definitions %d are missing", e.Payload.Defs)
		}

		whole := batch.Read(b)
		rest := whole
		for range k {
			rest.Next()
		}
		head := whole.Before(rest)
		for i := range k {
			s, p, ok := head.Next()
			require.True(t, ok)
			require.Equal(t, all(t, b)[i], entry{s, p})
		}
		require.True(t, head.Done())
	})
}

// A result that travels bare comes out as it went in.
func TestBareRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		for _, e := range rapid.SliceOfN(entries, 0, 5).Draw(t, "before") {
			b = batch.Append(b, e.Status, e.Payload)
		}
		last := len(b)
		p := codec.Payload{
			Encoding: rapid.Uint8Range(codec.None, codec.GobValue).Draw(t, "encoding"),
			Data:     rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data"),
		}
		if p.Encoding == codec.GobValue {
			p.Defs = rapid.Uint64Range(1, 3).Draw(t, "definitions")
		}
		in := batch.Result{Outcomes: batch.Append(b, batch.OK, p), Took: 4711}
		text, bare := in.Bare(last)
		require.True(t, bytes.Equal(p.Data, bare.Data))
		require.Equal(t, [2]any{p.Encoding, p.Defs}, [2]any{bare.Encoding, bare.Defs})
		require.Len(t, text, batch.BareSize+last)
		out, ok := batch.OfBare(string(text), bare)
		require.True(t, ok)
		require.Equal(t, in, out)
	})
}

// What no honest worker writes is told from what one does.
func TestWhole(t *testing.T) {
	for n := 1; n < 9; n++ {
		o, wellFormed := batch.Whole(outcomes(n))
		require.True(t, wellFormed)
		require.Equal(t, n, o.Count())
	}
	good := outcomes(1)
	odd := func(head byte) []byte {
		b := bytes.Clone(good)
		b[batch.HeadSize] = head
		return b
	}
	long := bytes.Clone(good)
	binary.LittleEndian.PutUint32(long[batch.HeadSize+1:], 1<<32-1)
	for name, b := range map[string][]byte{
		"nothing": nil, "no outcome": good[:batch.HeadSize], "half a head": good[:5],
		"half an outcome":                 good[:len(good)-1],
		"a rest":                          append(outcomes(3), 0),
		"a length of 4 GiB":               long,
		"an encoding that does not exist": odd(7 << 1),
		"a bit that means nothing":        odd(1 << 5),
		"an error with an encoding":       odd(byte(batch.Failed) | codec.String<<1),
		"a result that is to come later":  odd(1<<4 | codec.String<<1),
		"text with definitions":           odd(1<<7 | codec.String<<1),
		"definitions that are missing":    odd(1<<7 | codec.GobValue<<1),
	} {
		_, wellFormed := batch.Whole(b)
		require.False(t, wellFormed, name)
	}
}

// What Bare has not written is told from what it has.
func TestBareOfLiars(t *testing.T) {
	good := codec.Payload{Encoding: codec.Bytes, Data: []byte("large")}
	for _, c := range []struct {
		name     string
		text     string
		encoding uint8
		want     bool
	}{
		{"nothing before it", "12345678", codec.Bytes, true},
		{"a body without entries before it", "12345678" + strings.Repeat("\x00", batch.HeadSize), codec.Bytes, true},
		{"no time", "", codec.Bytes, false},
		{"half a time", "1234567", codec.Bytes, false},
		{"half a head", "12345678abc", codec.Bytes, false},
		{"an encoding that does not exist", "12345678", codec.GobValue + 1, false},
		{"an encoding that would be a status", "12345678", 1 << 3, false},
	} {
		p := good
		p.Encoding = c.encoding
		r, ok := batch.OfBare(c.text, p)
		require.Equal(t, c.want, ok, c.name)
		if ok {
			o, wellFormed := batch.Whole(r.Outcomes)
			require.Equal(t, [2]any{1, true}, [2]any{o.Count(), wellFormed}, c.name)
		}
	}
}

// within reports whether part lies in the memory of b.
func within(part, b []byte) bool {
	if len(part) == 0 {
		return true
	}
	from, to := uintptr(unsafe.Pointer(&part[0])), uintptr(unsafe.Pointer(&b[0]))
	return from >= to && from+uintptr(cap(part)) <= to+uintptr(len(b))
}

// FuzzBody reads bodies from a process that is not to be trusted. All that is read lies within the
// body; nothing that is made of it is larger than it is; what was read can be written and read
// again; and each of the n items has one outcome or is given out again.
func FuzzBody(f *testing.F) {
	one, gob := outcomes(1), codec.Payload{Encoding: codec.GobValue, Defs: 7, Data: []byte{1}}
	other := codec.Payload{Encoding: codec.GobValue, Defs: 8, Data: []byte{1}}
	gobs := batch.Append(batch.Append(nil, batch.OK, gob), batch.OK, other)
	later := batch.Append(outcomes(2), batch.Later, codec.Payload{Data: []byte("later")})
	odd := func(at int, to ...byte) []byte { b := bytes.Clone(gobs); copy(b[at:], to); return b }
	for _, b := range [][]byte{nil, one[:batch.HeadSize], one, one[:len(one)-1], outcomes(4), append(outcomes(2), 0),
		gobs, gobs[:len(gobs)-1], later, odd(8, 0xff), odd(9, 0xff, 0xff, 0xff, 0xff), odd(9, 0, 0, 0, 0x80), odd(0, 0, 0)} {
		for end := range byte(3) {
			f.Add(b, "12345678", 2, end)
		}
		f.Add(b, string(one), 1000, byte(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, text string, n int, end byte) {
		n = 1 + n&1023
		was := bytes.Clone(b)
		var copied []byte
		var read []entry
		for r := batch.Read(b); ; {
			s, p, ok := r.Next()
			if !ok {
				_, _, again := r.Next()
				require.False(t, again, "it reads on")
				break
			}
			require.True(t, within(p.Data, b), "the data of entry %d lie elsewhere", len(read))
			require.Contains(t, []batch.Status{batch.OK, batch.Failed, batch.Later}, s)
			require.LessOrEqual(t, p.Encoding, uint8(codec.GobValue))
			require.True(t, s == batch.OK || p.Encoding == codec.None)
			read = append(read, entry{s, p})
			copied = batch.Append(copied, s, p)
		}
		again := all(t, copied)
		require.Equal(t, len(read), len(again))
		for i := range read {
			require.Equal(t, read[i].Status, again[i].Status)
			require.True(t, bytes.Equal(read[i].Payload.Data, again[i].Payload.Data))
		}
		ids := 0
		for range batch.Definitions(b) {
			ids++
		}
		require.LessOrEqual(t, ids, 1+len(read))
		part := batch.From(b, n/3, n)
		require.LessOrEqual(t, cap(part), max(2*len(b), 64))
		require.Len(t, all(t, part), max(0, min(n, len(read))-n/3))

		whole, wellFormed := batch.Whole(b)
		count := whole.Count()
		require.Equal(t, len(read), count)
		o := batch.OutcomesOf(b, n)
		require.True(t, bytes.HasPrefix(b, o.Body))
		require.Equal(t, min(n, len(read)), o.Count())
		if wellFormed && count <= n {
			require.Equal(t, b, o.Body)
		}
		how := batch.Ending(end % 3)
		s := batch.Share(b, n, how)
		require.Equal(t, o, s.Outcomes)
		require.Equal(t, n, s.Count()+s.Blamed+s.Again)
		require.GreaterOrEqual(t, min(s.Blamed, s.Again), 0)
		require.Positive(t, s.Count()+s.Blamed, "nothing is done with: it would go round for ever")

		if res, ok := batch.OfBare(text, codec.Payload{Encoding: end, Defs: uint64(n), Data: b}); ok {
			require.LessOrEqual(t, cap(res.Outcomes), 2*(len(text)+len(b))+128)
			o, _ := batch.Whole(res.Outcomes)
			batch.Share(res.Outcomes, o.Count()+1, how)
		}
		require.Equal(t, was, b, "it was written to")
	})
}

// outcomes is the body of a result with some outcomes, of which every third is an error.
func outcomes(n int) (b []byte) {
	for i := range n {
		if i%3 == 2 {
			b = batch.Append(b, batch.Failed, codec.Payload{Data: []byte("an item failed")})
		} else {
			b = batch.Append(b, batch.OK, codec.Payload{Encoding: codec.String, Data: []byte("done")})
		}
	}
	return b
}

// Each item of a batch has one share, however the batch ends.
func TestShares(t *testing.T) {
	type shares struct{ ok, failed, blamed, again int }
	for _, c := range []struct {
		name string
		n    int // items, as they are after what was cut off
		has  int // outcomes in the result, of which every third is an error
		end  batch.Ending
		want shares
	}{
		{"a batch", 6, 6, batch.Returned, shares{4, 2, 0, 0}},
		{"a batch of one", 1, 1, batch.Returned, shares{1, 0, 0, 0}},
		{"a batch that ended early", 6, 1, batch.Returned, shares{1, 0, 0, 5}},
		{"a batch with nothing", 6, 0, batch.Returned, shares{0, 0, 1, 5}},
		{"a batch with more than it had", 4, 9, batch.Returned, shares{3, 1, 0, 0}},
		{"a batch that failed", 6, 0, batch.Broken, shares{0, 0, 6, 0}},
		{"a batch that failed with outcomes", 6, 3, batch.Broken, shares{2, 1, 3, 0}},
		{"a death before the first item ended", 6, 0, batch.Died, shares{0, 0, 1, 5}},
		{"a death in the middle", 6, 3, batch.Died, shares{2, 1, 1, 2}},
		{"a death in the last item", 6, 5, batch.Died, shares{4, 1, 1, 0}},
		{"a death behind the last item", 6, 6, batch.Died, shares{4, 2, 0, 0}},
		{"a death with more than it had", 6, 9, batch.Died, shares{4, 2, 0, 0}},
		{"a death in a batch of one", 1, 0, batch.Died, shares{0, 0, 1, 0}},
		{"a death behind a batch of one", 1, 1, batch.Died, shares{1, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := batch.Share(outcomes(c.has), c.n, c.end)
			require.Equal(t, c.want, shares{s.OK, s.Failed, s.Blamed, s.Again})
		})
	}
}

// Each item of a batch has the share that one who looks at the items one by one gives it.
func TestShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "items")
		var b []byte
		var had []batch.Status
		for _, e := range rapid.SliceOfN(entries, 0, 24).Draw(t, "outcomes") {
			b = batch.Append(b, e.Status, e.Payload)
			had = append(had, e.Status)
		}
		if cut := rapid.IntRange(0, 2).Draw(t, "cut"); cut > 0 && len(had) > 0 {
			b, had = b[:len(b)-1], had[:len(had)-1]
		}
		end := batch.Ending(rapid.IntRange(0, 2).Draw(t, "end"))
		became := map[string]int{}
		for i := range n {
			switch {
			case i < len(had):
				became[[]string{batch.OK: "ok", batch.Failed: "failed", batch.Later: "later"}[had[i]]]++
			case end == batch.Broken, end == batch.Died && i == len(had), i == 0:
				became["blamed"]++
			default:
				became["again"]++
			}
		}
		s := batch.Share(b, n, end)
		got := map[string]int{"ok": s.OK, "failed": s.Failed, "later": s.Later, "blamed": s.Blamed, "again": s.Again}
		for what, count := range got {
			require.Equal(t, became[what], count, what)
		}
		read := all(t, s.Body)
		require.Len(t, read, min(n, len(had)))
		require.True(
			t,
			slices.EqualFunc(read, had[:len(read)], func(e entry, s batch.Status) bool { return e.Status == s }),
		)
	})
}
