// Package combine computes with profiles, for package profiles: it makes one profile of those of
// all workers, and finds what was added to a profile. It is a module of its own because it needs
// github.com/google/pprof, which the library itself does without.
//
//	h := profiles.Handler(app, &profiles.Config{Combine: combine.Combiner{}})
//	http.Handle("/debug/pprof/", h)
//
//	go tool pprof -tagroot worker http://localhost:6060/debug/pprof/profile
package combine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/multiprolab/multiprolab/profiles"
)

// Label is the label of each sample of a merged profile that names its worker.
const Label = "worker"

const (
	// maxSize is how large a profile may be in bytes, uncompressed.
	maxSize = 128 << 20
	// maxSum is how large the profiles may be in bytes, uncompressed, of which one is made.
	maxSum = 256 << 20
	// together is how many profiles are made one at a time. These have the names of functions, for
	// example, once, and not once for each worker.
	together = 32
)

// Combiner is a profiles.Combiner. The zero value is good; any goroutine may use it.
type Combiner struct{}

var _ profiles.Combiner = Combiner{}

// Merge writes the sum of profiles of one kind. Each sample has the label [Label]; one of the same
// name that the worker has given it is lost. The durations are not added up, for the profiles were
// taken at the same time. What is wrong with a part is a comment of the profile (go tool pprof
// -comments), also that it has no room, for the parts may take 256 MiB together, uncompressed; if
// there is something wrong with all of them, it is the error.
func (Combiner) Merge(w io.Writer, parts []profiles.Part) error { return merged(w, parts, maxSum) }

// merged is Merge for parts that may take so many bytes together.
func merged(w io.Writer, parts []profiles.Part, room int) error {
	var all, sums []*profile.Profile
	var kind *profile.Profile // as the first part is
	var comments []string
	var errs []error
	var longest int64
	for _, part := range parts {
		var p *profile.Profile
		var size int
		err := part.Err
		if err == nil {
			p, size, err = parse(part.Profile)
		}
		switch {
		case err != nil:
		case kind != nil && !alike(kind, p):
			err = errors.New("its profile is of another kind")
		case size > room:
			err = errors.New("there is no room for its profile beside the others: ask for fewer workers")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("worker %s: %w", part.Worker, err))
			comments = append(comments, "left out: worker "+part.Worker+": "+err.Error())
			continue
		}
		for _, s := range p.Sample {
			if s.Label == nil {
				s.Label = map[string][]string{}
			}
			s.Label[Label] = []string{part.Worker}
		}
		longest = max(longest, p.DurationNanos)
		if kind == nil {
			kind = &profile.Profile{PeriodType: p.PeriodType, SampleType: p.SampleType}
		}
		room -= size
		if all = append(all, p); len(all) == together {
			sum, err := merge(all)
			if err != nil {
				return err
			}
			sums, all = append(sums, sum), nil
		}
	}
	if kind == nil {
		return errors.Join(errs...)
	}
	sum, err := merge(append(sums, all...))
	if err != nil {
		return err
	}
	sum.DurationNanos = longest
	sum.Comments = append(sum.Comments, comments...)
	return sum.Write(w)
}

// Delta writes what after has more than before.
func (Combiner) Delta(w io.Writer, before, after []byte) error {
	first, _, err := parse(before)
	if err != nil {
		return err
	}
	second, _, err := parse(after)
	if err != nil {
		return err
	}
	first.Scale(-1)
	d, err := merge([]*profile.Profile{first, second})
	if err != nil {
		return err
	}
	d.TimeNanos, d.DurationNanos = first.TimeNanos, max(0, second.TimeNanos-first.TimeNanos)
	return d.Write(w)
}

// guarded runs fn, which works on what a process has sent that may be broken. A panic is an error.
func guarded(fn func() (*profile.Profile, error)) (p *profile.Profile, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("the profile makes no sense: %v", r)
		}
	}()
	return fn()
}

// parse reads a profile, which is not trusted, and tells its size in bytes, uncompressed.
func parse(b []byte) (p *profile.Profile, size int, err error) {
	p, err = guarded(func() (*profile.Profile, error) {
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = io.ReadAll(io.LimitReader(z, maxSize+1))
			if err != nil {
				return nil, err
			}
		}
		if len(b) > maxSize {
			return nil, fmt.Errorf("the profile is larger than %d bytes", maxSize)
		}
		size = len(b)
		p, err := profile.ParseUncompressed(b)
		if err != nil {
			return nil, err
		}
		return p, p.CheckValid()
	})
	return p, size, err
}

func merge(all []*profile.Profile) (*profile.Profile, error) {
	return guarded(func() (*profile.Profile, error) { return profile.Merge(all) })
}

// alike reports whether two profiles are of one kind.
func alike(a, b *profile.Profile) bool {
	same := func(a, b *profile.ValueType) bool { return a.Type == b.Type && a.Unit == b.Unit }
	switch {
	case (a.PeriodType == nil) != (b.PeriodType == nil):
		return false
	case a.PeriodType != nil && !same(a.PeriodType, b.PeriodType):
		return false
	}
	return slices.EqualFunc(a.SampleType, b.SampleType, same)
}
