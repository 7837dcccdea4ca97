package multiprolab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestReviewRoom(t *testing.T) {
	l := startLab(t, &multiprolab.Config{QueueLimit: 1}, workers("xa", 1))
	got, err := multiprolab.Do[string](short(t), l, "x-room", stopAt{})
	require.NoError(t, err)
	t.Log(got)
}

func TestReviewPulled(t *testing.T) {
	l := startLab(t, nil, workers("xa", 1), workers("xp", 1))
	_, err := multiprolab.Do[string](short(t), l, "x-pull-submitter", stopAt{})
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	t.Log(err)
}
