// The circles of a host, for the commands of administrators and the portal.
import type { AdminCircles } from '../../core/circles.ts';
import { defineService } from '../../core/module.ts';

export const circles = defineService<AdminCircles>('circles');
