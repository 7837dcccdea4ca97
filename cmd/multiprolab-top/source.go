package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
)

// most is how large the figures of a program may be, in bytes.
const most = 64 << 20

// source is the page of a program.
type source struct {
	url   string // of the figures
	shown string // the same, without the password that it may hold
}

// newSource makes a source of what the user has written: the URL of the page, of which the scheme
// may be missing.
func newSource(page string) (*source, error) {
	const give = "give the URL of the page, such as http://127.0.0.1:8080"
	u, err := url.Parse(page)
	if (err != nil || u.Host == "") && !strings.Contains(page, "://") {
		u, err = url.Parse("http://" + page)
	}
	if err != nil {
		if why, ok := errors.AsType[*url.Error](err); ok {
			err = why.Err // without the URL, and the password that it may hold
		}
		return nil, fmt.Errorf("%w: %s", err, give)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q: %s", u.Redacted(), give)
	}
	u.Fragment = ""
	u = u.JoinPath("api", "stats")
	return &source{u.String(), u.Redacted()}, nil
}

// stats asks for a snapshot.
func (s *source) stats(ctx context.Context) (*multiprolab.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.shown, err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %s: is the page mounted there?", s.shown, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s", s.shown, resp.Status)
	case len(body) > most:
		return nil, fmt.Errorf("%s: the answer is larger than %d bytes", s.shown, most)
	}
	stats := &multiprolab.Stats{}
	if err := json.Unmarshal(body, stats); err != nil {
		return nil, fmt.Errorf("%s: %w: is the page mounted there?", s.shown, err)
	}
	if stats.Time.IsZero() {
		return nil, errors.New(s.shown + ": the answer is no snapshot of multiprolab: is the page mounted there?")
	}
	return stats, nil
}
