/* What handlers may use of the program. Built by app.c before the first request, unchanged while requests are served. */
#ifndef SLUICE_GATEWAY_SERVICES_H
#define SLUICE_GATEWAY_SERVICES_H

#include <stdint.h>

struct admission;
struct api_page;
struct app;
struct audit;
struct auth;
struct bq;
struct config;
struct counts;
struct declarations;
struct docstore;
struct hub;
struct lease_hub;
struct views;
struct lessees;
struct log;
struct login_codes;
struct metrics;
struct pg;
struct records;
struct runtime;
struct tallies;
struct tasks;
struct turns;
struct watch;

struct services {
	const struct config *config;
	struct log *log;
	struct metrics *metrics;
	struct auth *auth;
	struct bq *bq;
	const struct declarations *queues; /* their terms change, and their number grows (declaration.h) */
	struct tallies *tallies;       /* counts what becomes of jobs here */
	struct api_page *openapi;      /* /openapi.json */
	struct docstore *documents;
	struct counts *counts;         /* of declared queues */
	struct hub *hub;               /* waits for jobs' events */
	struct views *views;           /* what those who listen to them hear in common */
	struct lease_hub *leases;      /* waits for jobs, on behalf of workers */
	struct lessees *lessees;       /* who asked for jobs over HTTP lately */
	struct watch *watch;           /* how all queues stand */
	struct tasks *tasks;           /* what takes longer than a request */
	struct admission *admission;   /* may jobs be created now? */
	struct runtime *runtime;
	struct login_codes *logins;    /* of links that sign browsers in */
	struct pg *pg;                 /* NULL: no records are kept */
	struct records *records;       /* NULL as well then, */
	struct turns *searches;        /* and so is this: at searching them */
	struct audit *audit;           /* and so is this; also of a program that only works on jobs */
	const char *prefix;            /* BULLMQ_PREFIX */
};

const struct services *app_services(const struct app *app);

#endif
