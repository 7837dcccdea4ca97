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

// maxSize is how large a profile may be in bytes, uncompressed.
const maxSize = 128 << 20

// Combiner is a profiles.Combiner. The zero value is good; any goroutine may use it.
type Combiner struct{}

var _ profiles.Combiner = Combiner{}

// Merge writes the sum of profiles of one kind. Each sample has the label [Label]; one of the same
// name that the worker has given it is lost. The durations are not added up, for the profiles were
// taken at the same time. What is wrong with a part is a comment of the profile (go tool pprof
// -comments); if there is something wrong with all of them, it is the error.
func (Combiner) Merge(w io.Writer, parts []profiles.Part) error {
	var all []*profile.Profile
	var comments []string
	var errs []error
	var longest int64
	for _, part := range parts {
		var p *profile.Profile
		err := part.Err
		if err == nil {
			p, err = parse(part.Profile)
		}
		if err == nil && len(all) > 0 && !alike(all[0], p) {
			err = errors.New("its profile is of another kind")
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
		all = append(all, p)
	}
	if len(all) == 0 {
		return errors.Join(errs...)
	}
	sum, err := merge(all)
	if err != nil {
		return err
	}
	sum.DurationNanos = longest
	sum.Comments = append(sum.Comments, comments...)
	return sum.Write(w)
}

// Delta writes what after has more than before.
func (Combiner) Delta(w io.Writer, before, after []byte) error {
	first, err := parse(before)
	if err != nil {
		return err
	}
	second, err := parse(after)
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

// parse reads a profile, which is not trusted.
func parse(b []byte) (*profile.Profile, error) {
	return guarded(func() (*profile.Profile, error) {
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = io.ReadAll(io.LimitReader(z, maxSize+1))
			if err != nil {
				return nil, err
			}
		}
		if len(b) > maxSize {
			return nil, fmt.Errorf("the profile is larger than %d bytes", maxSize)
		}
		p, err := profile.ParseUncompressed(b)
		if err != nil {
			return nil, err
		}
		return p, p.CheckValid()
	})
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
