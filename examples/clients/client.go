// Submit, poll and work with the standard library alone.
//
//	SLUICE_URL=http://127.0.0.1:3000 SLUICE_TOKEN=... go run client.go submit hello '{"name": "World"}'
//	go run client.go poll hello 1
//	go run client.go work hello
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

var base, token = os.Getenv("SLUICE_URL"), os.Getenv("SLUICE_TOKEN")

type answer struct {
	status int // 0: no answer came
	body   []byte
	retry  time.Duration
}

func call(ctx context.Context, method, path string, body any, headers map[string]string) answer {
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return answer{0, []byte(err.Error()), time.Second}
		}
		text = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, text)
	if err != nil {
		return answer{0, []byte(err.Error()), time.Second}
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{0, []byte(err.Error()), time.Second}
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{0, []byte(err.Error()), time.Second}
	}
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		seconds = 1
	}
	return answer{response.StatusCode, got, time.Duration(seconds) * time.Second}
}

// The same call until it is answered: for what may safely be repeated.
func persist(method, path string, body any, headers map[string]string) answer {
	for {
		got := call(context.Background(), method, path, body, headers)
		switch got.status {
		case 0, 429, 503, 504:
			time.Sleep(got.retry)
		default:
			return got
		}
	}
}

func submit(queue, data string) error {
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	// With its key the request may be repeated: it makes one job.
	got := persist("POST", "/api/queues/"+queue+"/jobs", map[string]any{"data": json.RawMessage(data)},
		map[string]string{"Idempotency-Key": fmt.Sprintf("%x", key)})
	if got.status != 200 && got.status != 201 {
		return errors.New(string(got.body))
	}
	var created struct{ JobID string }
	if err := json.Unmarshal(got.body, &created); err != nil {
		return err
	}
	fmt.Println(created.JobID)
	return nil
}

func poll(queue, id string) error {
	for {
		got := persist("GET", "/api/jobs/status/"+queue+"/"+url.PathEscape(id), nil, map[string]string{"Prefer": "wait=20"})
		var job struct {
			State, FailedReason string
			Returnvalue         json.RawMessage
		}
		if err := json.Unmarshal(got.body, &job); err != nil || got.status != 200 {
			return errors.New(string(got.body))
		}
		switch job.State {
		case "completed":
			fmt.Println(string(job.Returnvalue))
			return nil
		case "failed":
			return errors.New(job.FailedReason)
		}
	}
}

type job struct {
	ID, Queue, Token string
	LockExpiresAt    int64
	Data             struct{ Name string }
}

// The work: replace it by yours, and stop when ctx is done.
func handle(_ context.Context, j job) (any, error) {
	if j.Data.Name == "" {
		return nil, errors.New("the name is missing")
	}
	return "Hello " + j.Data.Name, nil
}

// Keeps the lock while the work goes on; stop is called when it must end.
func keep(ctx context.Context, j job, path string, stop func()) {
	ticker := time.NewTicker(max(50*time.Millisecond, time.Until(time.UnixMilli(j.LockExpiresAt))/3))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			var held struct{ Cancel bool }
			got := call(ctx, "POST", path+"heartbeat", map[string]any{"token": j.Token}, nil)
			if got.status == 409 || json.Unmarshal(got.body, &held) == nil && held.Cancel {
				stop()
				return
			}
		}
	}
}

func max(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}

func run(j job) {
	path := "/api/queues/" + j.Queue + "/jobs/" + url.PathEscape(j.ID) + "/"
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go keep(ctx, j, path, stop)
	result, err := handle(ctx, j)
	how, body := "complete", map[string]any{"token": j.Token, "returnvalue": result}
	if err != nil {
		how, body = "fail", map[string]any{"token": j.Token, "reason": "ERROR: " + err.Error()}
	}
	if got := persist("POST", path+how, body, nil); got.status != 200 { // 409: it is not ours any more
		fmt.Fprintln(os.Stderr, j.ID, string(got.body))
	}
}

func work(queue, worker string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	for ctx.Err() == nil {
		got := call(context.Background(), "POST", "/api/queues/"+queue+"/lease", map[string]any{"workerId": worker, "wait": 2}, nil)
		var lease struct{ Jobs []job }
		if err := json.Unmarshal(got.body, &lease); got.status != 200 || err != nil {
			fmt.Fprintln(os.Stderr, string(got.body))
			time.Sleep(got.retry)
		}
		for _, j := range lease.Jobs {
			run(j)
		}
	}
	return nil
}

func main() {
	if base == "" {
		base = "http://127.0.0.1:3000"
	}
	args := append(os.Args[1:], "", "", "")
	if args[2] == "" {
		args[2] = fmt.Sprintf("go-%d", os.Getpid())
	}
	command, known := map[string]func(string, string) error{"submit": submit, "poll": poll, "work": work}[args[0]]
	if !known || args[1] == "" {
		fmt.Fprintln(os.Stderr, "usage: client submit QUEUE JSON | poll QUEUE ID | work QUEUE [WORKER]")
		os.Exit(2)
	}
	if err := command(args[1], args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
